"""Federated training: what is averaged, what is refused, what a kill leaves. Clients are folders of this machine."""

import pickle
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Command
from federated_runs import open_quietly, three_clients, trained_run
from stage_runs import KilledError, killed_at

import compress.federate
from compress.data import batches
from compress.federated import client_app
from compress.federated.flower import Array, ArrayRecord, Message, MetricRecord, RecordDict, TaskIdentity
from compress.federated.rounds import Rounds
from compress.federated.simulation import FolderGrid
from compress.federated.strategies import make_strategy
from compress.federated.task import Task
from compress.federated.updates import (
    ARRAYS,
    IMAGES,
    METRICS,
    WEIGHTS,
    batch_norm_names,
    packed,
    shapes_of,
    size_bytes,
    unpacked,
)
from compress.stages.federate import federate, simulate, task_of
from compress.stages.federate_options import FederateOptions
from compress.stages.prune import prune
from compress.stages.records import is_done, require
from compress.stages.run import Run
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype

QUICK = FederateOptions(rounds=2, local_steps=1)
Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def clients(folder_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return three_clients(folder_data, tmp_path_factory.mktemp("clients"))


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crops are made in this process: a process for each round of each client takes longer than the round."""
    monkeypatch.setattr(batches, "WORKERS", 0)


@pytest.fixture
def run(folder_data: Path, tmp_path: Path, tiny: Genotype) -> Run:
    return trained_run(tmp_path / "run", folder_data, tiny)


def weights_of(run: Run) -> Weights:
    return run.network("federate").state_dict()


def same(one: Weights, other: Weights) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def whole(folder_data: Path, clients: dict[str, str], tiny: Genotype, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run after two rounds of FedAvg; tests only read it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "WORKERS", 0)
        run = trained_run(tmp_path_factory.mktemp("whole") / "run", folder_data, tiny)
        simulate(run, clients, QUICK)
    return run


def test_a_federated_network_goes_on_through_the_stages(whole: Run, tmp_path: Path) -> None:
    run = open_quietly(Path(shutil.copytree(whole.path, tmp_path / "run")), whole.config)
    metrics = run.metrics("federate")
    assert [one["round"] for one in metrics["rounds"]] == [1, 2]
    assert {one["name"]: one["images"] for one in metrics["clients"]} == {"north": 6, "south": 6, "west": 5}
    assert all(0 <= one["miou"] <= 1 for one in metrics["clients"])
    assert metrics["rounds"][0]["bytes_up"] == metrics["rounds"][0]["bytes_down"] > 0
    assert not same(weights_of(run), run.network("train").state_dict())
    assert [path.name for path in (run.path / "federate").rglob("*.pt")] == ["network.pt"]
    assert run.before("prune") == "federate"
    prune(run, target_ms=1e6)
    assert is_done(run, "prune")
    (run.path / "train" / "network.pt").write_bytes(b"another")
    with pytest.raises(InputError, match="train does not fit"):
        require(run, "prune")


def test_a_killed_training_ends_with_the_weights_of_a_whole_one(
    run: Run, whole: Run, clients: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for calls in (2, 5):  # at the second client of the first round; of the second round
        undo = killed_at(monkeypatch, client_app, "train_round", calls)
        with pytest.raises(KilledError):
            simulate(run, clients, QUICK)
        undo()
    simulate(run, clients, QUICK)
    assert same(weights_of(run), weights_of(whole))
    assert [one["round"] for one in run.metrics("federate")["rounds"]] == [1, 2]


def test_a_training_killed_after_its_record_ends_without_asking_clients_again(
    run: Run, clients: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    undo = killed_at(monkeypatch, FolderGrid, "dismiss", 1)
    with pytest.raises(KilledError):
        simulate(run, clients, QUICK)
    undo()
    made = run.made("federate").read_bytes()
    monkeypatch.setattr(FolderGrid, "send_and_receive", None)
    simulate(run, clients, QUICK)
    assert run.made("federate").read_bytes() == made
    assert [path.name for path in (run.path / "federate").rglob("*.pt")] == ["network.pt"]


def test_fedbn_keeps_batch_normalization_at_the_clients(run: Run, clients: dict[str, str], whole: Run) -> None:
    state = run.network("train").state_dict()
    names = set(batch_norm_names(run.network("train")))
    sent: list[int] = []

    class Watched(FolderGrid):
        def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
            replies = super().send_and_receive(messages, timeout=timeout)
            kind = replies[0].metadata.message_type
            sent.extend(size_bytes(reply.content[ARRAYS]) for reply in replies if kind == "train")
            return replies

    federate(run, Watched(clients, run.path / "federate" / "clients"), replace(QUICK, strategy="fedbn"))
    others = sum(tensor.numel() for name, tensor in state.items() if name not in names and tensor.is_floating_point())
    assert [size // 4 - others for size in sent] == [128 // 4] * 6  # the header of a .npy file
    assert run.metrics("federate")["rounds"][0]["bytes_up"] < whole.metrics("federate")["rounds"][0]["bytes_up"]
    before, after = run.network("train").state_dict(), weights_of(run)
    assert all(not torch.equal(before[name], after[name]) for name in names)  # the mean of the clients' own


class Fleet:
    """Clients that send what a test says: of each, its images and the value of all its weights."""

    def __init__(self, sent: dict[str, tuple[int, float]], spoil: Callable[[str, Message], None] | None = None) -> None:
        self.names, self.sent, self.spoil = dict(enumerate(sent, 1)), sent, spoil
        TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 1
        self.asked: list[list[str]] = []

    def newcomers(self) -> list[int]:
        return []

    def admit(self, node: int, said: str, fault: str | None) -> str:
        raise NotImplementedError

    def get_node_ids(self) -> list[int]:
        return list(self.names)

    def dismiss(self, seconds: float = 0.0) -> None:
        raise NotImplementedError

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterator[Message]:
        messages = list(messages)
        self.asked.append([self.names[message.metadata.dst_node_id] for message in messages])
        for message in messages:
            name = self.names[message.metadata.dst_node_id]
            images, value = self.sent[name]
            arrays = {
                one: Array(np.full(array.shape, value, np.float32)) for one, array in message.content[ARRAYS].items()
            }
            figures = MetricRecord({IMAGES: images, "loss": 1.0, "seconds": 0.0})
            reply = Message(RecordDict({ARRAYS: ArrayRecord(arrays), METRICS: figures}), reply_to=message)
            if self.spoil is not None:
                self.spoil(name, reply)
            yield reply


def rounds_of(fleet: Fleet, task: Task, path: Path, strategy: str = "fedavg", drawn: int | None = None) -> Rounds:
    images = {name: count for name, (count, _) in fleet.sent.items()}
    made, weights = make_strategy(strategy, drawn, 1, 0.1), {"w": torch.zeros(2, 3)}
    return Rounds(path / "rounds.pt", "key", task, made, fleet, packed(weights, ["w"]), None, 1, weights, images)


@pytest.fixture(scope="module")
def task(whole: Run) -> Task:
    return task_of(whole, whole.network("train"), QUICK)


def test_weights_travel_as_one_array() -> None:
    """Flower makes requests for each array: with one for each tensor a round would take a minute."""
    weights = {"b": torch.randn(2, 3, 1, 1), "a": torch.randn(4), "unused": torch.randn(1), "c": torch.randn(2, 2)}
    names = ("c", "a", "b")
    sent = packed(weights, names)
    assert len(sent) == 1
    assert size_bytes(sent) <= 4 * 14 + 128
    found = unpacked(sent, shapes_of(weights, names))
    assert tuple(found) == names
    assert all(torch.equal(found[name], weights[name]) for name in names)


def test_updates_are_weighted_by_images(task: Task, tmp_path: Path) -> None:
    rounds = rounds_of(Fleet({"a": (1, 0.0), "b": (3, 1.0)}), task, tmp_path)
    _, weights = rounds.round(1)
    assert weights is not None
    assert torch.equal(weights["w"], torch.full((2, 3), 0.75))


def test_the_average_of_equal_updates_is_the_update(task: Task, tmp_path: Path) -> None:
    _, weights = rounds_of(Fleet(dict.fromkeys("abcd", (7, 0.3))), task, tmp_path, "fedprox").round(1)
    assert weights is not None
    torch.testing.assert_close(weights["w"], torch.full((2, 3), 0.3), rtol=1e-6, atol=0)


def spoil_array(array: Array) -> Callable[[Message], None]:
    return lambda reply: reply.content.__setitem__(ARRAYS, ArrayRecord({WEIGHTS: array}))


def spoil_figure(name: str, value: float) -> Callable[[Message], None]:
    return lambda reply: reply.content[METRICS].__setitem__(name, value)


POISONS: dict[str, tuple[Callable[[Message], None], str]] = {
    "nan": (spoil_array(Array(np.full(6, np.nan, np.float32))), "w has numbers that are not finite"),
    "shape": (spoil_array(Array(np.zeros((3, 2), np.float32))), r"are \(3, 2\) float32, not 6 numbers"),
    "type": (spoil_array(Array(np.zeros(6, np.float64))), "float64"),
    "large": (spoil_array(Array(np.zeros(1500, np.float32))), "6128 bytes in place of 24"),
    "pickle": (spoil_array(Array("float32", (2, 3), "numpy.ndarray", pickle.dumps(np.zeros(6)))), "cannot be read"),
    "name": (
        lambda reply: reply.content.__setitem__(ARRAYS, ArrayRecord({"v": Array(np.zeros(1))})),
        "arrays are v, not weights",
    ),
    "images": (spoil_figure(IMAGES, 10**9), "says 1000000000 images, the client has 3"),
    "loss": (spoil_figure("loss", float("nan")), "not a finite number"),
    "empty": (lambda reply: reply.content.clear(), "holds nothing"),
}


@pytest.mark.parametrize("poison", POISONS)
def test_a_poisoned_update_is_refused_by_name(
    poison: str, task: Task, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, said = POISONS[poison]
    fleet = Fleet({"good": (2, 0.5), "bad": (3, 1.0)}, lambda name, reply: spoil(reply) if name == "bad" else None)
    rounds = rounds_of(fleet, task, tmp_path)
    rounds.run(lambda record, weights: None)
    assert torch.equal(rounds.weights["w"], torch.full((2, 3), 0.5))
    assert [list(one["refused"]) for one in rounds.history] == [["bad"]] * 2
    assert re.search(f"refused bad: .*{said}", capsys.readouterr().out)


def test_a_round_without_enough_updates_is_tried_again_and_then_ends_in_one_line(task: Task, tmp_path: Path) -> None:
    spoil = spoil_figure("loss", float("inf"))
    rounds = rounds_of(Fleet({"bad": (3, 1.0)}, lambda _, reply: spoil(reply)), task, tmp_path)
    with pytest.raises(InputError, match=r"round 1 had 0 sound updates of 1, 3 times \(bad: "):
        rounds.run(lambda record, weights: None)
    assert not rounds.path.exists()


def test_drawn_clients_are_the_same_after_a_kill(task: Task, tmp_path: Path) -> None:
    fleet = Fleet(dict.fromkeys("abcdef", (1, 1.0)))
    rounds = rounds_of(fleet, task, tmp_path, drawn=2)
    rounds.run(lambda record, weights: None)
    again = rounds_of(fleet, task, tmp_path, drawn=2)
    again.load()
    assert again.history == rounds.history
    again.round(2)
    assert [len(names) for names in fleet.asked] == [2, 2, 2]
    assert fleet.asked[1] == fleet.asked[2]


OTHERS = {
    "classes": ("class0\nclass1\nroof\n", "classes are class0, class1, roof, the run's are class0, class1, class2"),
    "label map": ("class0 0 0 9\nclass1 0 9 0\nclass2 9 0 0\n", "show the classes by other"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_client_with_other_classes_is_refused(
    what: str, run: Run, clients: dict[str, str], folder_data: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(folder_data, tmp_path / "other"))
    (other / "classes.txt").write_text(OTHERS[what][0])
    with pytest.raises(InputError, match=f"client other: .*{re.escape(OTHERS[what][1])}"):
        simulate(run, {"north": clients["north"], "other": f"folder:{other}"}, QUICK)


def test_the_server_reads_no_file_name_of_a_client(
    run: Run, clients: dict[str, str], folder_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Path(shutil.copytree(folder_data, tmp_path / "broken"))
    (broken / "train" / "images" / "3.png").write_bytes(b"no image")
    with pytest.raises(InputError) as refused:
        simulate(run, {"north": clients["north"], "broken": f"folder:{broken}"}, QUICK)
    assert str(refused.value) == "client broken: cannot go on; its own output says why"
    assert "3.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (QUICK, "allows --dp-epsilon 3 at most, and the server has no --dp-epsilon"),
        (replace(QUICK, dp_epsilon=8.0), "allows --dp-epsilon 3 at most, and the server has --dp-epsilon 8"),
        (replace(QUICK, dp_epsilon=3.0, dp_delta=0.5), "--dp-delta 0.5 is not below 1 / 6 images"),
    ],
)
def test_a_client_refuses_to_spend_more_than_it_allows(
    asked: FederateOptions, said: str, run: Run, clients: dict[str, str]
) -> None:
    fleet = FolderGrid(clients, run.path / "federate" / "clients")
    fleet.settings[1]["max-epsilon"] = 3.0
    with pytest.raises(InputError, match=f"client north: {re.escape(said)}"):
        federate(run, fleet, asked)


WRONG = {
    ("--clients", "CLIENT"): "one client learns nothing from others",
    ("--clients", "CLIENT", "CLIENT"): "another client's folder has the name 'north'",
    ("--clients", "CLIENT", "folder:a", "--min-clients", "3"): "--clients: 2 are fewer than the 3 that a round needs",
    (): "give one of --clients DIR DIR ..., --serve HOST:PORT and --join HOST:PORT",
    ("--join", "127.0.0.1:9", "--serve", "127.0.0.1:9"): "give one of --clients",
    ("--join", "127.0.0.1:9"): "name the client's data set with --data",
    ("--join", "example.org:9", "--data", "folder:x"): "open to others; give --root and --key",
    ("--serve", "0.0.0.0:9"): "others can reach it; give --certificate, --certificate-key and --client-keys",
    ("--serve", "127.0.0.1:9", "--client-keys", "x"): "all three",
    ("--serve", "9092"): "give HOST:PORT",
    ("--join", "127.0.0.1:9", "--data", "folder:x", "--rounds", "3"): "--rounds: has no meaning with --join",
    ("--clients", "a", "--root", "x"): "--root: has no meaning with --clients",
    ("--join", "127.0.0.1:9", "--data", "folder:x", "--dp-epsilon", "0"): "--dp-epsilon 0: give a positive number",
    ("--clients", "a", "--rounds", "0"): "--rounds 0: give a positive number",
    ("--clients", "a", "--strategy", "best"): "choose from fedavg, fedprox, fedbn",
    ("--clients", "a", "--clients-per-round", "1"): "--min-clients 2: more than --clients-per-round 1",
}


@pytest.mark.parametrize("flags", WRONG)
def test_wrong_flags_end_in_one_line(
    flags: tuple[str, ...], whole: Run, clients: dict[str, str], command: Command
) -> None:
    given = [clients["north"] if one == "CLIENT" else one for one in flags]
    code, _, err = command(compress.federate.main, whole.path, *given)
    assert (code, err.count("\n")) == (2, 1), err
    assert WRONG[flags] in err
