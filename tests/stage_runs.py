"""What tests of single stages share: a target without noise, a kill at a chosen call."""

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from compress.files.tensors import save_network
from compress.latency import builder as table_builder
from compress.latency.targets import HostTarget
from compress.latency.timing import Timed
from compress.stages.records import record_network
from compress.stages.run import SEARCH, Run, open_run

SIDE = 64


class KilledError(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class BySize(HostTarget):
    """A device on which a model takes a millisecond for each of its `unit_bytes` and `at_least` one: no noise, so that
    a resumed stage decides as an uninterrupted one."""

    unit_bytes: int = 10_000
    at_least: float = 0.0

    def time(self, models: Sequence[bytes], seconds: float) -> tuple[list[Timed], float]:
        return timed_by_size(models, self.unit_bytes, self.at_least)


def timed_by_size(models: Sequence[bytes], unit_bytes: float, at_least: float = 0.0) -> tuple[list[Timed], float]:
    """What a device without noise measures. Its reference takes a millisecond."""
    ms = [max(at_least, len(model) / unit_bytes) for model in models]
    return [Timed(one, one, one, one, 1) for one in ms], 1.0


def run_without_noise(path: Path) -> Run:
    """Opens a run folder whose target is `BySize`."""
    run = open_run(path)
    run.__dict__["target"] = BySize(reference_ms=1.0)
    return run


def hasten_tables(change: Callable[[Any, str, Any], None]) -> None:
    """Each op of a latency table is timed as briefly as it can be. `change` is `setattr` or undoes itself."""
    for plan in ("OPS", "NETWORKS"):
        hasty = dataclasses.replace(getattr(table_builder, plan), seconds=0.0, tolerance=math.inf)
        change(table_builder, plan, hasty)
    change(table_builder, "FITTED", 6)
    change(table_builder, "HELD_OUT", 2)


def metrics(run: Run, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.path / stage / "metrics.json").read_text())
    return found


def record_training(run: Run, miou: float) -> None:
    """Gives the trained network of a run a search that it came from, and a record."""
    network = run.network("train")
    save_network(network, run.made(SEARCH))
    record_network(run, "train", network, miou, begun=0.0)


def killed_at(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, calls: int, error: type[BaseException] = KilledError
) -> Callable[[], None]:
    """Makes a function of a module die at its n-th call; returns what undoes that."""
    real, seen = getattr(module, name), 0

    def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == calls:
            raise error
        return real(*arguments, **named)

    monkeypatch.setattr(module, name, dying)
    return lambda: monkeypatch.setattr(module, name, real)
