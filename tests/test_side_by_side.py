"""Trainings that run side by side, each in a process of its own."""

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from compress.files.tensors import load_network, save_network
from compress.stages import side_by_side
from compress.stages.run import Run
from compress.stages.side_by_side import MIN_STEPS, Training, train_side_by_side
from compress.training.finite import DivergedError
from compress.training.schedule import Schedule
from search_spaces.genotype import Genotype
from search_spaces.network import Network

SCHEDULE = Schedule(MIN_STEPS, 2, 64)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that this holds on a machine with one core too."""
    monkeypatch.setattr(side_by_side, "share_cores", lambda workers=1: 2)


def trainings(folder: Path, tiny: Genotype, schedule: Schedule = SCHEDULE) -> list[Training]:
    """Two networks of other widths."""
    found = []
    for width in (16, 24):
        torch.manual_seed(0)
        network = Network(dataclasses.replace(tiny, aspp_out=width))
        found.append(Training(network, schedule, folder / str(width) / "network.pt", f"width {width}", seed=3))
    return found


def test_a_training_ends_with_the_same_weights_as_by_itself(run: Run, tiny: Genotype, tmp_path: Path) -> None:
    beside, alone = trainings(tmp_path / "beside", tiny), trainings(tmp_path / "alone", tiny)
    train_side_by_side(run, beside)
    torch.set_num_threads(1)
    for one, other in zip(beside, alone, strict=True):
        side_by_side.train(run, other)
        assert not (one.file.parent / "checkpoint.pt").exists()
        expected = load_network(other.file).state_dict()
        for name, value in load_network(one.file).state_dict().items():
            torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4)


def test_a_training_that_is_done_is_not_done_again(run: Run, tiny: Genotype, tmp_path: Path) -> None:
    first, second = trainings(tmp_path, tiny)
    side_by_side.train(run, first)
    written = first.file.stat().st_mtime_ns
    train_side_by_side(run, [first, second])
    assert first.file.stat().st_mtime_ns == written
    assert second.file.exists()


def test_the_error_of_one_is_raised_here_and_ends_the_other(run: Run, tiny: Genotype, tmp_path: Path) -> None:
    poor, good = trainings(tmp_path, tiny)
    with torch.no_grad():
        next(poor.network.parameters()).fill_(float("nan"))
    endless = dataclasses.replace(good, schedule=dataclasses.replace(SCHEDULE, steps=10**6))
    with pytest.raises(DivergedError, match="width 16: the training diverged"):
        train_side_by_side(run, [poor, endless])
    assert not any(process.is_alive() for process in multiprocessing.active_children())
    assert not good.file.exists()


def test_where_a_process_is_ended_from_outside_the_rest_is_done_one_by_one(
    run: Run, tiny: Genotype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a system does that has no memory left."""
    monkeypatch.setattr(side_by_side, "train_in_process", end_this_process)
    found = trainings(tmp_path, tiny)
    train_side_by_side(run, found)
    assert all(one.file.exists() for one in found)
    assert "the rest are done one after the other" in capsys.readouterr().err


def end_this_process(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


LONG = """
import sys, torch
from pathlib import Path
from compress.files.tensors import load_network
from compress.stages.run import open_run
from compress.stages import side_by_side
from compress.training.schedule import Schedule

if __name__ == "__main__":
    side_by_side.share_cores = lambda workers=1: 2
    run, folder = open_run(Path(sys.argv[1])), Path(sys.argv[2])
    network = load_network(folder / "start.pt")
    side_by_side.train_side_by_side(run, [
        side_by_side.Training(network, Schedule(10**6, 2, 64), folder / name / "network.pt", name, 3) for name in "ab"
    ])
"""


def processes_of(folder: Path) -> list[int]:
    """The processes with this folder in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str(folder) in (entry / "environ").read_bytes().decode(errors="replace"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("by", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_trainings_end_with_the_command_that_started_them(
    trained: Path, tmp_path: Path, by: signal.Signals, tiny: Genotype
) -> None:
    save_network(Network(tiny), tmp_path / "start.pt")
    (tmp_path / "long.py").write_text(LONG)
    environment = {**os.environ, "MARK_OF_TEST": str(tmp_path)}
    command = [sys.executable, str(tmp_path / "long.py"), str(trained), str(tmp_path)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while not all((tmp_path / name / "log.csv").exists() for name in "ab"):
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.2)
        process.send_signal(by)
        process.wait(60)
        while left := processes_of(tmp_path):
            assert time.monotonic() < until, left
            time.sleep(0.2)
    finally:
        for number in processes_of(tmp_path):
            os.kill(number, signal.SIGKILL)
