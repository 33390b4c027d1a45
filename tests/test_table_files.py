"""Files of latency tables: older ones, damaged ones, and builds that a full disk or a kill interrupts."""

import errno
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import Command
from hypothesis import given, settings
from hypothesis import strategies as st

import nas.latency
from compress.latency import builder, repeats
from compress.latency import builder as table_builder
from compress.latency.busy_machine import Latency
from compress.latency.repeats import MeasurementPlan, measure_repeatedly
from compress.latency.show import format_table
from compress.latency.spec import TableSpec, load_table
from compress.latency.table import Calibration, LatencyTable
from compress.latency.targets import HostTarget
from compress.tflite.writer import INT8
from search_spaces import get_space
from search_spaces.errors import InputError

SPEC = TableSpec(get_space("lraspp"), 3, (64, 64), INT8, HostTarget())


def stamped(body: dict[str, Any]) -> str:
    """The file of a table, with a checksum that fits."""
    checksum = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
    return json.dumps({**body, "checksum": checksum})


def body_of(version: int) -> dict[str, Any]:
    body = {
        "version": version,
        "made_for": {**SPEC.made_for()},
        "provenance": {"ops": 1, "date": "2026-01-01"},
        "coefficients": {"intercept": 0.5, "conv": 1.0, "depthwise": 1.0, "other": 1.0},
        "residuals": {"models": 10.0, "rmspe": 0.02, "worst": 0.05},
        "families": {"argmax_4x4_4x4_c3": {"channels": [], "ms": [0.25], "spread": [0.1]}},
    }
    if version == 4:
        body["provenance"] |= {"reference_ms": 0.125, "yardsticks_ms": 3.5, "looks": 2, "unsettled": 0}
    else:
        body["calibration"] = {"reference_ms": 0.125, "control_networks_ms": 3.5}
    return body


@pytest.mark.parametrize("version", [4, 5])
def test_tables_of_both_versions_are_read(version: int, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(stamped(body_of(version)))
    table = load_table(path, SPEC)
    assert table.calibration == Calibration(reference_ms=0.125, control_networks_ms=3.5)
    assert LatencyTable.from_json(table.to_json(), "t", "r") == table
    assert "control_networks_ms      3.5" in format_table(table)


DAMAGES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


@given(st.data(), DAMAGES)
@settings(max_examples=200, deadline=None)
def test_a_table_whose_checksum_fits_damage_is_refused_or_whole(data: st.DataObject, damage: Any) -> None:
    body: Any = body_of(5)
    place, last = body, data.draw(st.sampled_from(list(body)))
    while isinstance(place[last], dict) and place[last] and data.draw(st.booleans()):
        place = place[last]
        last = data.draw(st.sampled_from(list(place)))
    place[last] = damage
    try:
        table = LatencyTable.from_json(stamped(body), "t.json", "do this")
    except InputError as error:
        assert str(error).startswith("t.json")
        assert str(error).endswith("do this")
    else:
        format_table(table)
        table.join({"conv": 1.0, "depthwise": 1.0, "other": 1.0})


def test_the_remedy_for_a_damaged_table_writes_that_very_file(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "t.json"
    path.write_text(stamped(body_of(5))[:-50])
    flags = ["--space", "lraspp", "--classes", 3, "--input-size", 64, "--table", path]
    code, _, err = command(nas.latency.main, "check", *flags)
    assert code == 2
    assert err.count("\n") == 1
    assert str(path) in err
    named = err.partition("python -m nas.latency ")[2].split()
    built: list[Path] = []

    def build(spec: TableSpec, path: Path) -> LatencyTable:
        built.append(path)
        assert (spec.space.name, spec.classes, spec.input_size) == ("lraspp", 3, (64, 64))
        return replace(LatencyTable.from_json(stamped(body_of(5)), "", ""))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_builder, "build", build)
        assert command(nas.latency.main, *named)[0] == 0
    assert built == [path]


class Counted:
    """A target's `measure_once` that counts the models and can be told to fail."""

    def __init__(self) -> None:
        self.models: list[bytes] = []

    def __call__(self, models: Sequence[bytes], seconds: float) -> list[Latency]:
        self.models += models
        return [Latency(1.0, 1.0, 1.0, 1.0, 1.0, 9) for _ in models]


PLAN = MeasurementPlan("t", 0.01, 2, 0.05)
MODELS = {name: name.encode for name in "abcd"}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    made = Counted()
    monkeypatch.setattr(HostTarget, "measure_once", lambda target, models, seconds: made(models, seconds))
    monkeypatch.setattr(repeats, "SAVE_SECONDS", 0.0)
    return made


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-40], lambda text: text.replace("1.0", "7.0", 1), lambda _: "[]"]
)
def test_a_damaged_file_of_measurements_is_one_line(tmp_path: Path, counted: Counted, damage: Any) -> None:
    partial = tmp_path / "t.partial"
    measure_repeatedly(HostTarget(), MODELS, PLAN, partial, {"of": "this"})
    partial.write_text(damage(partial.read_text()))
    with pytest.raises(InputError, match=r"t\.partial.*delete it and start the same command again"):
        measure_repeatedly(HostTarget(), MODELS, PLAN, partial, {"of": "this"})
    partial.unlink()
    assert len(measure_repeatedly(HostTarget(), MODELS, PLAN, partial, {"of": "this"})) == 4


def test_a_full_disk_is_one_line_and_the_next_build_goes_on(
    tmp_path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial, writes, sync = tmp_path / "t.partial", 0, os.fsync

    def full(file: int) -> None:
        nonlocal writes
        writes += 1
        if writes > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match=r"t\.partial cannot be written \(No space left.*free some space"):
            measure_repeatedly(HostTarget(), MODELS, PLAN, partial, {"of": "this"})
    assert [path.name for path in tmp_path.iterdir()] == ["t.partial"]
    kept = sum(map(len, json.loads(partial.read_text())["measurements"].values()))
    assert kept > 0
    counted.models.clear()
    measure_repeatedly(HostTarget(), MODELS, PLAN, partial, {"of": "this"})
    assert len(counted.models) == 2 * len(MODELS) - kept


def test_a_build_killed_at_any_group_ends_in_the_same_table(
    tmp_path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every op and network takes the same, so tables of interrupted builds differ in nothing."""
    few = dict(list(builder.plan_ops(SPEC).items())[::20])
    monkeypatch.setattr(builder, "plan_ops", lambda spec: few)
    monkeypatch.setattr(LatencyTable, "group_ms", lambda table, graph: {"conv": 1.0, "depthwise": 2.0, "other": 3.0})
    monkeypatch.setattr(builder, "FITTED", 2)
    monkeypatch.setattr(builder, "HELD_OUT", 1)
    monkeypatch.setattr(HostTarget, "fastest_reference_ms", lambda target: 1.0)
    whole = replace(builder.build(SPEC, tmp_path / "whole.json"), provenance={}).to_json()
    calls = 0

    def killed(target: HostTarget, models: Sequence[bytes], seconds: float) -> list[Latency]:
        nonlocal calls
        calls += 1
        if calls % 3 == 0:
            raise KeyboardInterrupt
        return counted(models, seconds)

    monkeypatch.setattr(HostTarget, "measure_once", killed)
    kills = 0
    while True:
        try:
            table = builder.build(SPEC, tmp_path / "killed.json")
            break
        except KeyboardInterrupt:
            kills += 1
    assert kills > 3
    assert replace(table, provenance={}).to_json() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed.json", "whole.json"]
