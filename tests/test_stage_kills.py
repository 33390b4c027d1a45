"""Stages killed at every file they write or delete: the resumed stage ends as an uninterrupted one."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from stage_runs import SIDE, BySize, metrics
from studies import MACS_TABLE

import compress.data.batches
import compress.training.checkpoint
from compress.files.tensors import save_network
from compress.stages.config import RunConfig
from compress.stages.distill import distill
from compress.stages.prune import prune
from compress.stages.run import SEARCH, Run
from compress.stages.train import train
from search_spaces.genotype import Genotype
from search_spaces.network import Network
from search_spaces.widths import prunable_widths, with_widths

NO_KILL = 0
VARYING = ("wall_s", "checksum", "made")  # seconds, and what depends on them


class KilledError(BaseException):
    """Not an Exception: nothing in a stage may catch it."""


def kill_before(monkeypatch: pytest.MonkeyPatch, folder: Path, event: int) -> list[str]:
    """Kills the stage before the given replacement or deletion of a file in `folder`, counted from 1; lists those that
    happen."""
    events: list[str] = []
    replaced, unlinked = Path.replace, Path.unlink

    def happen(path: Path) -> None:
        if folder not in path.parents:
            return
        if len(events) + 1 == event:
            raise KilledError
        events.append(path.name)

    def replacing(self: Path, target: Path) -> Path:
        happen(Path(target))
        return replaced(self, target)

    def unlinking(self: Path, missing_ok: bool = False) -> None:
        if self.suffix != ".part" and self.exists():
            happen(self)
        unlinked(self, missing_ok)

    monkeypatch.setattr(Path, "replace", replacing)
    monkeypatch.setattr(Path, "unlink", unlinking)
    return events


def opened(path: Path, data: Path) -> Run:
    config = RunConfig(budget_ms=1e-3, data=f"folder:{data}", input_size=(SIDE, SIDE), preset="toy")
    run = Run(path, config)
    run.__dict__.update(target=BySize(reference_ms=1.0), table=MACS_TABLE)
    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, folder_data: Path, tiny: Genotype) -> Path:
    """A run folder with networks of random weights in place of what the stages before leave."""
    path = tmp_path_factory.mktemp("killed") / "run"
    run, genotype = opened(path, folder_data), replace(tiny, resolution=(SIDE, SIDE))
    torch.manual_seed(0)
    for file in (run.made(SEARCH), run.made("train")):
        save_network(Network(genotype), file)
    save_network(Network(with_widths(genotype, prunable_widths(genotype) | {"stage3.0.expand": 16})), run.made("prune"))
    return path


def prune_twice(run: Run) -> None:
    prune(run, target_ms=0.8 * run.table.predict(run.network("train").graph), importance="l2", rounds=2)


def left_by(run: Run, stage: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    figures = {name: value for name, value in metrics(run, stage).items() if name not in VARYING}
    return run.network(stage).state_dict(), figures


@pytest.mark.parametrize("count", [4, pytest.param(100, marks=pytest.mark.slow)], ids=["last", "every"])
@pytest.mark.parametrize(
    ("stage", "body", "least_events"),
    [("train", train, 8), ("prune", prune_twice, 13), ("distill", partial(distill, loss="kl,cwd"), 6)],
    ids=["train", "prune", "distill"],
)
def test_a_stage_killed_at_any_file_ends_as_an_uninterrupted_one(
    folder: Path,
    folder_data: Path,
    tmp_path: Path,
    stage: str,
    body: Callable[[Run], None],
    least_events: int,
    count: int,
) -> None:
    """The last files are the ones at stake: the checkpoint, the network, its record, the checkpoint's deletion."""

    def run_once(path: Path, event: int) -> list[str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(compress.training.checkpoint, "CHECKPOINT_SECONDS", 0.0)
            patch.setattr(compress.data.batches, "WORKERS", 0)
            events = kill_before(patch, path, event)
            body(opened(path, folder_data))
        return events

    whole = Path(shutil.copytree(folder, tmp_path / "whole"))
    events = run_once(whole, NO_KILL)
    assert len(events) >= least_events
    weights, figures = left_by(opened(whole, folder_data), stage)
    for event in range(max(1, len(events) - count + 1), len(events) + 1):
        path = Path(shutil.copytree(folder, tmp_path / f"killed-{event}"))
        with pytest.raises(KilledError):
            run_once(path, event)
        run_once(path, NO_KILL)
        again, same = left_by(opened(path, folder_data), stage)
        assert same == figures, events[event - 1]
        assert all(torch.equal(again[name], value) for name, value in weights.items()), events[event - 1]
        assert {file.name for file in (path / stage).iterdir()} == {file.name for file in (whole / stage).iterdir()}
    assert not list(whole.rglob("checkpoint.pt")) + list(whole.rglob("rounds.pt"))
