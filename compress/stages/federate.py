"""Trains the trained network further at clients whose data stays where it is (federated learning).

The server sends weights, clients train them on their own data, and the average of what they send back is the next
round's start. The server needs the run's own data set to evaluate the network.
"""

import time
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from compress.federated.client import BATCH_NORM
from compress.federated.flower import MessageType
from compress.federated.questions import Answers, Fleet, ask, figure_fault
from compress.federated.rounds import Rounds
from compress.federated.simulation import FolderGrid
from compress.federated.strategies import FEDBN, make_strategy
from compress.federated.task import Task, spelled_labels
from compress.federated.updates import (
    METRICS,
    Expected,
    apply_weights,
    batch_norm_names,
    packed,
    shapes_of,
    shared_names,
    unpacked,
)
from compress.files.atomic import digest
from compress.stages.federate_options import FederateOptions
from compress.stages.private_record import PRIVACY_KEY, federated_privacy
from compress.stages.records import is_done, record_network
from compress.stages.run import FEDERATE, Run
from compress.training.privacy import Privacy
from search_spaces.errors import InputError
from search_spaces.network import Network

STATE = "rounds.pt"
"""The rounds that are done, while others are not."""

RETURN_SECONDS = 10.0  # in which clients find back to a server that was killed after its last round


def task_of(run: Run, network: Network, options: FederateOptions) -> Task:
    """What clients are asked to do.

    Args:
        run: The run.
        network: The network to train.
        options: How the rounds go.

    Returns:
        The task, with the losses and the plan of the run's training.
    """
    config, plan = run.config, run.config.schedule("train")
    return Task(
        genotype=network.genotype.to_dict(),
        classes=run.data.classes,
        label_map=spelled_labels(run.data),
        bands=run.data.pixels.to_dict(),
        input_size=config.input_size,
        loss=config.loss,
        class_weights=config.class_weights,
        augment=config.augment,
        sampling=config.sampling,
        rounds=options.rounds,
        local_steps=options.local_steps or max(1, round(plan.steps / options.rounds)),
        batch=plan.batch,
        crop=plan.crop,
        lr=plan.lr,
        weight_decay=plan.weight_decay,
        lr_schedule=plan.lr_schedule,
        seed=config.seed,
        local_batch_norm=options.strategy == FEDBN,
        dp_epsilon=options.dp_epsilon or 0.0,
        dp_delta=options.dp_delta or 0.0,
        max_grad_norm=options.max_grad_norm or Privacy.max_grad_norm,
    )


def simulate(run: Run, clients: Mapping[str, str], options: FederateOptions) -> None:
    """Trains with folders of this machine as clients, and records the result in RUN/federate.

    Args:
        run: The run; its training is done.
        clients: The `--data` value of each client, by its name.
        options: How the rounds go.

    Raises:
        InputError: A client's data does not fit the run, or too few updates were sound.
    """
    needed = max(options.min_clients, options.clients_per_round or 0)
    if needed > len(clients):
        raise InputError(f"--clients: {len(clients)} are fewer than the {needed} that a round needs; lower that")
    federate(run, FolderGrid(clients, run.path / FEDERATE / "clients"), options)


def federate(run: Run, fleet: Fleet, options: FederateOptions) -> None:
    """Trains with a fleet of clients, and records the result in RUN/federate.

    Args:
        run: The run; its training is done.
        fleet: The clients.
        options: How the rounds go.

    Raises:
        InputError: A client's data does not fit the run, or too few updates were sound.
    """
    begun, folder = time.monotonic(), run.path / FEDERATE
    network = run.network("train")
    task = task_of(run, network, options)
    state = network.state_dict()
    rounds = Rounds(
        path=folder / STATE,
        key=f"{digest(run.made('train'))} {options.strategy} {options.proximal_mu} {task.to_json()}",
        task=task,
        strategy=make_strategy(options.strategy, options.clients_per_round, options.min_clients, options.proximal_mu),
        fleet=fleet,
        start=packed(state, shared_names(network, local_batch_norm=False)),
        seconds=options.round_seconds,
        min_clients=max(options.min_clients, options.clients_per_round or 0),
        weights={name: state[name] for name in shared_names(network, task.local_batch_norm)},
    )
    rounds.load()
    recorded = len(rounds.history) == task.rounds and is_done(run, FEDERATE)  # and killed before the end
    if not recorded:
        do_rounds(run, rounds, network)
        record_rounds(run, rounds, network, options, begun)
    fleet.dismiss(RETURN_SECONDS if recorded else 0.0)
    rounds.path.unlink()
    for leftover in (folder / "clients").rglob(BATCH_NORM):
        leftover.unlink()


def do_rounds(run: Run, rounds: Rounds, network: Network) -> None:
    """Does the rounds that are left. Each is evaluated and printed.

    Args:
        run: The run.
        rounds: The rounds.
        network: The network; its weights change.

    Raises:
        InputError: A client's data does not fit the run, or too few updates were sound.
    """

    def finished(record: dict[str, Any], weights: Mapping[str, Tensor]) -> None:
        if not rounds.task.local_batch_norm:  # else the server's network has no batch normalization yet
            apply_weights(network, weights)
            record["miou"] = run.miou(network)
        print(format_round(record, rounds.task.rounds), flush=True)

    rounds.run(finished)


def record_rounds(run: Run, rounds: Rounds, network: Network, options: FederateOptions, begun: float) -> None:
    """Asks the clients for what belongs to the record, and records the network in RUN/federate.

    Args:
        run: The run.
        rounds: The rounds; all are done.
        network: The network; its weights become those of the last round.
        options: How the rounds went.
        begun: The value of `time.monotonic()` when the training began.

    Raises:
        InputError: No client sent its batch normalization.
    """
    rounds.gather()
    task, mious = rounds.task, client_mious(rounds)
    apply_weights(network, {**rounds.weights, **(mean_batch_norm(rounds, network) if task.local_batch_norm else {})})
    clients = [{"name": name, "images": rounds.images[name], "miou": mious.get(name)} for name in sorted(rounds.images)]
    asked = {"strategy": options.strategy, "local_steps": task.local_steps, "rounds": rounds.history}
    if task.privacy is not None:
        asked[PRIVACY_KEY] = federated_privacy(rounds.history, task.privacy)
    record_network(run, FEDERATE, network, run.miou(network), begun, **asked, clients=clients)


def client_mious(rounds: Rounds) -> dict[str, float]:
    """Evaluates the last round's network at every client, on its own validation split.

    Args:
        rounds: The rounds; all are done.

    Returns:
        The mIoU (0..1) of each client that answered, by its name.
    """
    after = rounds.task.rounds + 1
    answers = ask(
        rounds.fleet, rounds.question(MessageType.EVALUATE, rounds.arrays, after), rounds.seconds, figure_fault
    )
    print_faults(answers, "was not evaluated")
    found = {name: dict(reply.content[METRICS]) for name, reply in answers.sound.items()}
    return {name: float(figures["miou"]) for name, figures in found.items() if "miou" in figures}


def mean_batch_norm(rounds: Rounds, network: Network) -> dict[str, Tensor]:
    """The mean of the clients' batch normalization, weighted by their images; they send it this once.

    Args:
        rounds: The rounds; all are done.
        network: The network.

    Returns:
        The tensors by name.

    Raises:
        InputError: No client sent its batch normalization.
    """
    state = network.state_dict()
    shapes = shapes_of(state, batch_norm_names(network))
    messages = rounds.question("query.batch_norm", rounds.arrays, rounds.task.rounds + 1)
    answers = ask(rounds.fleet, messages, rounds.seconds, Expected(shapes, rounds.images).fault_of)
    print_faults(answers, "gave no batch normalization")
    if not answers.sound:
        raise InputError("no client gave its batch normalization; start again, the rounds are kept")
    averaged, _ = rounds.strategy.aggregate_train(rounds.task.rounds, list(answers.sound.values()))
    return unpacked(averaged, shapes)


def print_faults(answers: Answers, what: str) -> None:
    """Names the clients that gave no sound answer.

    Args:
        answers: The answers.
        what: What they did not do.
    """
    for name, fault in answers.faults.items():
        print(f"federate: client {name} {what}: {fault}")


def format_round(record: Mapping[str, Any], rounds: int) -> str:
    """Spells the record of a round.

    Args:
        record: The record.
        rounds: How many rounds there are.

    Returns:
        A line.
    """
    losses = ", ".join(f"{client['name']} {client['loss']:.3f}" for client in record["clients"])
    miou = f"mIoU {record['miou']:.4f}, " if "miou" in record else ""
    return f"federate: round {record['round']}/{rounds}: {miou}losses {losses}; {record['seconds']:.0f} s"
