"""The server's rounds: clients train, what they send is checked, the sound updates are averaged, the state is saved.

A round counts once it is saved. A server that is killed does the round again in which it was; the state before it is
whole.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from compress.federated.client import KEY
from compress.federated.flower import ArrayRecord, ConfigRecord, FedAvg, Message, MessageType, RecordDict
from compress.federated.questions import Fleet, ask, figure_fault, reply_fault
from compress.federated.task import Task
from compress.federated.updates import (
    ARRAYS,
    CONFIG,
    IMAGES,
    METRICS,
    NAME,
    TASK,
    Expected,
    Shapes,
    packed,
    shapes_of,
    size_bytes,
    unpacked,
)
from compress.files.records import parse_json
from compress.files.tensors import load_tensors, save_tensors
from search_spaces.errors import InputError

WAIT_SECONDS = 0.5
MAX_ATTEMPTS = 3  # at one round, one after the other
DELETE = "delete it: the rounds begin again without it"


@dataclass
class Rounds:
    """The rounds of one training, as far as they are done.

    Attributes:
        path: The file of the state.
        key: Names the training: what it started from and how it is done. A state of another training is not used.
        task: The task.
        strategy: Flower's strategy.
        fleet: The clients.
        start: All weights at the beginning, which a client gets when it is asked about its data.
        seconds: How long a round waits for answers; None for no limit.
        min_clients: The fewest sound updates that make a round.
        weights: The tensors that are exchanged, after the last round that is done.
        images: The training images of each client that takes part, by its name.
        history: The record of each round that is done.
    """

    path: Path
    key: str
    task: Task
    strategy: FedAvg
    fleet: Fleet
    start: ArrayRecord
    seconds: float | None
    min_clients: int
    weights: dict[str, Tensor]
    images: dict[str, int] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def load(self) -> None:
        """Goes on from the saved state, if there is one of this training.

        Raises:
            InputError: The file is damaged.
        """
        if not self.path.exists():
            return
        stored = load_tensors(self.path)
        if stored.get(KEY) != self.key:
            return
        weights = stored.get("weights")
        if not isinstance(weights, dict) or {n: v.shape for n, v in weights.items()} != self.shapes:
            raise InputError(f"{self.path} does not hold the weights of this network; {DELETE}")
        self.weights = {name: weights[name] for name in self.weights}
        self.history = parse_json(str(stored.get("history")), f"{self.path}: history", DELETE, list)

    @property
    def shapes(self) -> Shapes:
        """The shape of each tensor that is exchanged."""
        return shapes_of(self.weights, self.weights.keys())

    @property
    def arrays(self) -> ArrayRecord:
        """The weights after the last round that is done, as a message carries them."""
        return packed(self.weights, self.weights.keys())

    def config(self) -> ConfigRecord:
        """What every message says beside the weights.

        Returns:
            The task and the key.
        """
        return ConfigRecord({TASK: self.task.to_json(), KEY: self.key})

    def run(self, finished: Callable[[dict[str, Any], Mapping[str, Tensor]], None]) -> None:
        """Does the rounds that are left.

        Args:
            finished: Is called before a round is saved, with its record, which it may add to, and the weights.

        Raises:
            InputError: A round had too few sound updates, MAX_ATTEMPTS times in turn.
        """
        attempts = 0
        while len(self.history) < self.task.rounds:
            record, weights = self.round(len(self.history) + 1)
            for name, fault in record["refused"].items():
                print(f"federate: round {record['round']}: refused {name}: {fault}")
            if weights is None:
                attempts += 1
                if attempts == MAX_ATTEMPTS:
                    refused = "; ".join(f"{name}: {fault}" for name, fault in record["refused"].items())
                    raise InputError(
                        f"round {record['round']} had {len(record['clients'])} sound updates of {self.min_clients}, "
                        f"{MAX_ATTEMPTS} times ({refused}); start again, the rounds before it are kept"
                    )
                continue
            attempts = 0
            finished(record, weights)
            self.save(record, weights)

    def save(self, record: dict[str, Any], weights: dict[str, Tensor]) -> None:
        """Saves the state after a round. From here on the round counts.

        Args:
            record: The round's record.
            weights: The averaged weights.
        """
        history = [*self.history, record]
        save_tensors({KEY: self.key, "weights": weights, "history": json.dumps(history)}, self.path)
        self.weights, self.history = weights, history

    def round(self, number: int) -> tuple[dict[str, Any], dict[str, Tensor] | None]:
        """Does one round and saves nothing.

        Args:
            number: The round, from 1.

        Returns:
            The round's record, and the averaged weights; None where too few updates were sound.
        """
        self.gather()
        begun, arrays = time.monotonic(), self.arrays
        with drawing(f"{self.task.seed} {number}"):
            messages = list(self.strategy.configure_train(number, arrays, self.config(), self.fleet))
        answers = ask(self.fleet, messages, self.seconds, Expected(self.shapes, self.images).fault_of)
        figures = {name: dict(reply.content[METRICS]) for name, reply in answers.sound.items()}
        clients = [
            {
                "name": name,
                "images": found[IMAGES],
                "loss": found["loss"],
                "seconds": found["seconds"],
                **{name: found[name] for name in ("epsilon", "delta") if name in found},
                "bytes": size_bytes(answers.sound[name].content[ARRAYS]),
            }
            for name, found in figures.items()
        ]
        record: dict[str, Any] = {
            "round": number,
            "clients": clients,
            "refused": answers.faults,
            "bytes_down": size_bytes(arrays) * len(messages),
            "bytes_up": sum(client["bytes"] for client in clients),
        }
        if len(clients) < self.min_clients:
            return record, None
        averaged, _ = self.strategy.aggregate_train(number, list(answers.sound.values()))
        record["seconds"] = time.monotonic() - begun
        return record, unpacked(averaged, self.shapes)

    def gather(self) -> None:
        """Asks new clients whether their data fits, and waits until enough clients take part."""
        self.welcome()
        waited = False
        while (there := len(list(self.fleet.get_node_ids()))) < self.min_clients:
            if not waited:
                print(f"federate: waiting for clients: {there} of {self.min_clients} take part", flush=True)
            waited = True
            time.sleep(WAIT_SECONDS)
            self.welcome()

    def welcome(self) -> None:
        """Asks the clients that are new whether their data fits."""
        nodes = list(self.fleet.newcomers())
        if not nodes:
            return
        messages = self.question(MessageType.QUERY, self.start, 0, nodes)
        for reply in self.fleet.send_and_receive(messages, timeout=self.seconds):
            fault = reply_fault("", reply, figure_fault)
            said = "" if reply.has_error() else str((reply.content.get(CONFIG) or {}).get(NAME, ""))
            name = self.fleet.admit(reply.metadata.src_node_id, said, fault)
            if fault is None:
                self.images[name] = int(reply.content[METRICS][IMAGES])

    def question(self, kind: str, arrays: ArrayRecord, number: int, nodes: list[int] | None = None) -> list[Message]:
        """A message to every client that takes part.

        Args:
            kind: The type of the message.
            arrays: The weights it carries.
            number: The round.
            nodes: The clients' numbers; None for all that take part.

        Returns:
            The messages.
        """
        config = ConfigRecord({**self.config(), "server-round": number})
        nodes = sorted(self.fleet.get_node_ids()) if nodes is None else nodes
        return [
            Message(RecordDict({ARRAYS: arrays, CONFIG: config}), dst_node_id=node, message_type=kind) for node in nodes
        ]


@contextmanager
def drawing(seed: str) -> Iterator[None]:
    """Inside, Flower's strategies draw clients by this seed.

    Args:
        seed: The seed.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
