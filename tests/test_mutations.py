"""Every file that a person or an accident can damage is read, or refused in one line that names it.

Checksums are made to fit or left away, so that damage reaches the readers behind them.
"""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from conftest import tiny_of
from mutations import BYTES, JSON, LINES, TEXT, Mutation, Reader, outcomes
from optuna.storages import RDBStorage
from PIL import Image
from safetensors.torch import save_file

from compress.data.dataset import open_data
from compress.files.atomic import RUNS
from compress.files.records import read_json, read_record, write_json
from compress.files.tensors import load_network, save_network
from compress.latency.repeats import Measurement, _read_partial, _write_partial
from compress.latency.table import read_table
from compress.prediction.card import read_card
from compress.stages.prune_rounds import rounds_done
from compress.stages.run import STAGES, open_run
from compress.tflite.flatbuffer import read_tflite
from compress.tflite.reader import file_ops
from compress.training.checkpoint import Checkpoint
from compress.training.log import TrainingLog, read_log
from nas.constraints import COST_NAMES
from nas.initial_weights import read_initial_weights
from nas.listing import read_scored_candidates
from nas.pages.tables import finalist_rows
from nas.private_interfaces import engine_of
from nas.result import write_result
from nas.storages import open_storage, readable
from nas.study import GENOTYPE, IDENTITY, MIOU, check_identity, check_trials
from nas.study_identity import recorded_name
from nas.winner import supernet_seconds
from search_spaces import graph_of
from search_spaces.network import Network

TRIES = 30  # of each file; TIMES as many in the long test
TIMES = 30
DEEP = Path("deep")  # a data set whose statistics, shades and ranges are kept under runs/data
KEPT = ("statistics", "contents", "ranges", "shades")
NETWORK = Network(tiny_of("lraspp")).eval()
REMEDY = "do it again"


@dataclass(frozen=True)
class Case:
    """A file, and what reads it.

    Attributes:
        file: Its path in the run folder, or what makes one in a folder.
        mutations: What is done to it.
        reader: Reads it.
        tries: How many mutations.
        flag: What a line may name in place of the file.
    """

    file: str | Callable[[Path], Path]
    mutations: tuple[Mutation, ...]
    reader: Reader
    tries: int = TRIES
    flag: str = ""


def run_of(path: Path) -> Any:
    return open_run(path.parent if path.parent.name == "run" else path.parent.parent)


def priced(path: Path) -> Any:
    table = read_table(path, REMEDY)
    return table.predict(graph_of(run_of(path).genotype)), table.to_json(), table.calibration


def result_of(path: Path) -> Any:
    return write_result(run_of(path))


def tensors_of(network: Network) -> Any:
    return network.genotype, [float(value.double().sum()) for value in network.state_dict().values()]


def initial(path: Path) -> Any:
    weights = read_initial_weights(str(path))
    return len(weights.fitting(NETWORK))


def network_file(folder: Path) -> Path:
    save_network(NETWORK, folder / "network.pt")
    return folder / "network.pt"


def safetensors_file(folder: Path) -> Path:
    save_file(NETWORK.state_dict(), folder / "start.safetensors")
    return folder / "start.safetensors"


def study_name_file(folder: Path) -> Path:
    (folder / "search").mkdir()
    write_json(folder / "search" / "study.json", {"name": "roads-1"})
    return folder / "search" / "study.json"


def rounds_file(folder: Path) -> Path:
    save_network(NETWORK, folder / "rounds.pt", asked={"rounds": 2}, done=[{"miou": 0.5}])
    return folder / "rounds.pt"


def rounds(path: Path) -> Any:
    network, done = rounds_done(path, {"rounds": 2}) or (NETWORK, [])
    return tensors_of(network), done


def parts() -> dict[str, Any]:
    torch.manual_seed(0)
    model = torch.nn.Conv2d(3, 4, 3)
    return {"model": model, "optimizer": torch.optim.AdamW(model.parameters())}


def checkpoint_file(folder: Path) -> Path:
    made = parts()
    made["model"](torch.zeros(1, 3, 4, 4)).sum().backward()
    made["optimizer"].step()
    Checkpoint(folder / "checkpoint.pt", "training", "origin", made).save(5, 1.0, last=True)
    return folder / "checkpoint.pt"


def resumed(path: Path) -> Any:
    made = parts()
    step = Checkpoint(path, "training", "origin", made).load()
    return step, float(made["model"].weight.detach().sum())


def partial_file(folder: Path) -> Path:
    path = folder / "table.json.partial"
    _write_partial(path, {"space": "lraspp"}, {"op": [Measurement(1.0, 1.0, 0.1)] * 3, "other": []})
    write_json(path, read_record(path, REMEDY))  # without its checksum
    return path


def study_file(kind: str, name: str) -> Callable[[Path], Path]:
    """A study with candidates, in a storage of a kind."""

    def make(folder: Path) -> Path:
        storage = open_storage(f"{kind}{folder / name}")
        study = optuna.create_study(study_name="tried", storage=storage, direction="maximize")
        study.set_user_attr(IDENTITY, json.dumps({"seed": 0, "table": "f"}))
        for _ in range(3):
            trial = study.ask()
            trial.suggest_float("width", 0, 1)
            trial.set_user_attr(GENOTYPE, json.dumps(NETWORK.genotype.to_dict()))
            for cost in COST_NAMES:
                trial.set_user_attr(f"predicted_{cost}", 1.5)
            trial.set_user_attr(MIOU, 0.5)
            study.tell(trial, 0.5)
        close(storage)
        return folder / name

    return make


def study_of(kind: str) -> Reader:
    """Reads a study as a resumed search does."""

    def read(path: Path) -> Any:
        for log in ("-wal", "-shm", ".lock"):  # of the file before
            path.with_name(path.name + log).unlink(missing_ok=True)
        url = f"{kind}{path}"
        with readable(url, opening=True):
            storage = open_storage(url)
            try:
                study = optuna.create_study(
                    study_name="tried", storage=storage, direction="maximize", load_if_exists=True
                )
                if IDENTITY in study.user_attrs:
                    check_identity(study, {"seed": 0, "table": "f"})
                    check_trials(study)
                return [(trial.number, trial.state, trial.params) for trial in study.get_trials()]
            finally:
                close(storage)

    return read


def close(storage: Any) -> None:
    """Gives back the connections to a database."""
    backend = getattr(storage, "_backend", None)
    if isinstance(backend, RDBStorage):
        engine_of(backend).dispose()


def data_file(name: str, content: str) -> Callable[[Path], Path]:
    """A file of a folder data set."""

    def make(folder: Path) -> Path:
        for kind, colour in (("images", (9, 80, 200)), ("masks", 1)):
            (folder / kind).mkdir()
            for number in range(4):
                image = Image.new("RGB" if kind == "images" else "L", (16, 16), colour)
                image.putpixel((number, 0), (1, 2, 3) if kind == "images" else 0)
                image.save(folder / kind / f"{number}.png")
        (folder / "classes.txt").write_text("field 90 60 30\nroad 128 64 128\n")
        (folder / "bands.txt").write_text("1 2 3\n")
        (folder / "train.txt").write_text("0\n1\n")
        (folder / "val.txt").write_text("2\n3\n")
        (folder / name).write_text(content)
        return folder / name

    return make


def groups_file(folder: Path) -> Path:
    """The groups of a data set whose split is drawn."""
    path = data_file("groups.txt", "0,a\n1,a\n*_\n")(folder)
    for name in ("train.txt", "val.txt"):
        (folder / name).unlink()
    return path


def data_of(path: Path) -> Any:
    data = open_data(f"folder:{path.parent}")
    return data.classes, data.colours, data.pixels, len(data.train), len(data.val)


def kept_file(name: str) -> Callable[[Path], Path]:
    """What is kept of a data set of deep images and masks without names, without its checksum."""

    def make(folder: Path) -> Path:
        values = np.arange(256).reshape(16, 16)
        for i in range(4):
            for kind, stored in (
                ("images", (values * (i + 1)).astype(np.uint16)),
                ("masks", values.astype(np.uint8) % 2),
            ):
                (DEEP / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(stored).save(DEEP / kind / f"{i}.png")
        deep_data(folder)
        (file,) = (RUNS / "data").glob(f"{name}-*.json")
        write_json(file, read_json(file, REMEDY)["result"])
        return file

    return make


def deep_data(path: Path) -> Any:
    data = open_data(f"folder:{DEEP}")
    return data.classes, data.pixels, data.content, data.statistics


CASES = {
    "config.json": Case("config.json", JSON, lambda path: run_of(path).config, 2 * TRIES),
    "genotype.json": Case("genotype.json", JSON, lambda path: run_of(path).genotype, 2 * TRIES),
    "table.json": Case("table.json", JSON, priced, 2 * TRIES),
    "table.json.partial": Case(partial_file, JSON, lambda path: _read_partial(path, {"space": "lraspp"})),
    "search.jsonl": Case("search.jsonl", LINES, read_scored_candidates),
    "finalists.json": Case("search/finalists.json", JSON, lambda path: finalist_rows(run_of(path)), 2 * TRIES),
    "search.json": Case("search/search.json", JSON, result_of, TRIES // 2),
    "study.json": Case(study_name_file, JSON, lambda path: recorded_name(path.parent.parent)),
    "study.db": Case(study_file("sqlite:///", "study.db"), BYTES, study_of("sqlite:///"), flag="--storage"),
    "journal": Case(study_file("journal:", "study.log"), LINES, study_of("journal:"), flag="--storage"),
    "result.json": Case("result.json", JSON, lambda path: read_record(path, REMEDY)),
    "model.json": Case("model.json", JSON, read_card),
    **{f"{stage}/metrics.json": Case(f"{stage}/metrics.json", JSON, result_of, TRIES // 2) for stage in STAGES},
    "train/log.csv": Case("train/log.csv", TEXT, read_log),
    "a resumed log.csv": Case("train/log.csv", TEXT, lambda path: TrainingLog(path, 10)._lines),
    "network.pt": Case(network_file, BYTES, lambda path: tensors_of(load_network(path))),
    "rounds.pt": Case(rounds_file, BYTES, rounds),
    "checkpoint.pt": Case(checkpoint_file, BYTES, resumed),
    "--weights": Case(network_file, BYTES, initial),
    "a .safetensors file": Case(safetensors_file, BYTES, initial),
    "supernet.json": Case("search/supernet.json", JSON, lambda path: supernet_seconds(run_of(path))),
    # of shades, counts that damage left are what masks may hold: the folder of the data is refused, not the file
    **{name: Case(kept_file(name), JSON, deep_data) for name in KEPT if name != "shades"},
    "model.tflite": Case("model.tflite", BYTES, lambda path: file_ops(read_tflite(path)), TRIES // 2),
    "classes.txt": Case(data_file("classes.txt", "field 90 60 30\nroad 128 64 128\n"), TEXT, data_of),
    "bands.txt": Case(data_file("bands.txt", "1 2 3\n"), TEXT, data_of),
    "train.txt": Case(data_file("train.txt", "0\n1\n"), TEXT, data_of),
    "groups.txt": Case(groups_file, TEXT, data_of),
}


@pytest.fixture
def place(whole: Path, tmp_path: Path) -> Callable[[Case], Path]:
    """Puts a case's file where its reader finds it."""

    def put(case: Case) -> Path:
        if not isinstance(case.file, str):
            return case.file(tmp_path)
        run = tmp_path / "run"
        shutil.copytree(whole, run, ignore=shutil.ignore_patterns("*.pt", "*.onnx", "trained", "report.html"))
        for record in (*run.rglob("metrics.json"), run / "result.json"):
            kept = {key: value for key, value in json.loads(record.read_text()).items() if key != "checksum"}
            record.write_text(json.dumps(kept))
        return run / case.file

    return put


def check(case: Case, file: Path, tries: int, name: str) -> None:
    found = outcomes(file, case.mutations, case.reader, tries, name, case.flag)
    print(f"{name}: {dict(found.counts)}")
    assert not found.faults, "\n".join(found.faults)


@pytest.mark.parametrize("name", CASES)
def test_a_damaged_file_is_read_or_refused_in_one_line(
    name: str, place: Callable[[Case], Path], elsewhere: Path
) -> None:
    check(CASES[name], place(CASES[name]), CASES[name].tries, name)


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept_of_a_data_set_is_computed_anew_where_it_is_damaged(
    name: str, tmp_path: Path, elsewhere: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = kept_file(name)(tmp_path)
    file.unlink()
    expected = deep_data(tmp_path)
    whole = file.read_bytes()
    another_digit = re.sub(rb"[0-8]", lambda digit: b"%d" % (int(digit[0]) + 1), whole, count=1)
    for damage in (b"", b"[]", b'{"result": {}}', b"[[[0]]]", another_digit):
        file.write_bytes(damage)
        capfd.readouterr()
        assert deep_data(tmp_path) == expected
        assert file.read_bytes() == whole
        assert capfd.readouterr().err == f"{file} is damaged; what it keeps is computed anew\n"


def test_a_file_of_an_older_version_is_kept(tmp_path: Path, elsewhere: Path) -> None:
    """It holds the result alone."""
    file = kept_file("statistics")(tmp_path)
    older = file.read_bytes()
    deep_data(tmp_path)
    assert file.read_bytes() == older and b"checksum" not in older


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_many_more_damages(name: str, place: Callable[[Case], Path], elsewhere: Path) -> None:
    check(CASES[name], place(CASES[name]), CASES[name].tries * TIMES, f"{name} long")
