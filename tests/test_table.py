"""Latency tables: look-up, JSON, refusals, and a small one really built on this machine."""

import dataclasses
import json
import math
import random
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from conftest import random_genotype
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_runs import hasten_tables

from compress.latency import builder as table_builder
from compress.latency import repeats
from compress.latency.builder import family_of
from compress.latency.busy_machine import Latency
from compress.latency.check import summarize
from compress.latency.families import Family, family
from compress.latency.fit import fit
from compress.latency.op_plan import plan_ops, with_channels
from compress.latency.repeats import Measurement, MeasurementPlan, combine, measure_repeatedly, median_control_time
from compress.latency.spec import TableSpec, load_table
from compress.latency.table import GROUPS, VERSION, Calibration, LatencyTable
from compress.latency.targets import HostTarget
from compress.tflite.writer import INT8, PRECISIONS
from search_spaces import SPACES, get_space
from search_spaces.errors import InputError
from search_spaces.ops import ADD, CONV, DEPTHWISE, INPUT, MUL, Op
from search_spaces.trials import LargestTrial
from search_spaces.widths import prunable_widths, with_widths

LINE = Family(((8, 16, 32),), (1.0, 2.0, 4.0))
PLANE = Family(((8, 16), (16, 32)), (2.0, 4.0, 4.0, math.nan))


def table(families: dict[str, Family]) -> LatencyTable:
    return LatencyTable(
        {"precision": INT8},
        families,
        {**dict.fromkeys(GROUPS, 2.0), "intercept": 0.5},
        {"rmspe": 0.01},
        Calibration(0.1, 3.0),
        {},
    )


def conv(cin: int, cout: int) -> Op:
    return Op("a", (INPUT,), CONV, ((4, 4, cin),), (4, 4, cout))


@given(st.sampled_from([8, 16, 32]))
def test_a_measured_point_is_returned_as_measured(c: int) -> None:
    assert LINE.look_up((c,)) == {8: 1.0, 16: 2.0, 32: 4.0}[c]


@given(st.integers(8, 32))
def test_between_points_the_look_up_is_linear(c: int) -> None:
    assert LINE.look_up((c,)) == pytest.approx(c / 8)


@pytest.mark.parametrize("at", [(4,), (40,)])
def test_outside_the_points_there_is_no_look_up(at: tuple[int]) -> None:
    assert LINE.look_up(at) is None


def test_two_dimensions() -> None:
    assert PLANE.look_up((8, 24)) == pytest.approx(3.0)
    assert PLANE.look_up((12, 16)) == pytest.approx(3.0)
    assert PLANE.look_up((12, 24)) is None  # needs the point that was not measured


def test_prediction_joins_groups_by_their_coefficients() -> None:
    add = Op("b", ("a", "a"), ADD, ((4, 4, 8),) * 2, (4, 4, 8))
    known = table({family(conv(8, 16), INT8): PLANE, family(add, INT8): LINE})
    assert known.predict((conv(8, 16), add)) == pytest.approx(0.5 + 2 * 2.0 + 2 * 1.0)


def test_a_missing_op_is_named() -> None:
    with pytest.raises(InputError, match="no entry for conv_k1_s1_d1_4x4x64_4x4x64"):
        table({family(conv(8, 16), INT8): PLANE}).predict((conv(64, 64),))


def test_json_round_trip() -> None:
    known = table({"f": PLANE, "g": LINE})
    again = LatencyTable.from_json(known.to_json(), "t.json", "remedy")
    assert again.families["g"] == LINE
    assert again.to_json() == known.to_json()
    assert "NaN" not in known.to_json()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "not a latency table"),
        (lambda text: text.replace("4.0", "1.0"), "checksum does not fit"),
        (lambda text: text.replace(f'"version": {VERSION}', '"version": 0'), "version 0"),
        (lambda text: "[]", "not a latency table"),
        (lambda text: "", "not a latency table"),
    ],
)
def test_a_damaged_table_is_refused_with_its_name(damage, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message) as caught:
        LatencyTable.from_json(damage(table({"f": LINE}).to_json()), "t.json", "remedy")
    assert "t.json" in str(caught.value)


def test_fit_recovers_known_coefficients() -> None:
    sums = [
        {"conv": c, "depthwise": d, "other": o} for c, d, o in [(5, 1, 1), (1, 6, 1), (2, 2, 4), (9, 3, 2), (4, 8, 1)]
    ]
    totals = [0.3 + 1.1 * s["conv"] + 0.9 * s["depthwise"] + 1.2 * s["other"] for s in sums]
    found = fit(sums, totals)
    assert found["conv"] == pytest.approx(1.1, abs=0.02)
    assert found["depthwise"] == pytest.approx(0.9, abs=0.02)


@given(st.lists(st.tuples(*[st.floats(0.01, 10)] * 4), min_size=5, max_size=20))
def test_no_network_is_predicted_to_take_less_than_no_time(noise: list[tuple[float, ...]]) -> None:
    sums = [{"conv": c, "depthwise": d, "other": o} for c, d, o, _ in noise]
    found = fit(sums, [total for *_, total in noise])
    assert min(found.values()) >= 0


@pytest.fixture
def wanted(host_wanted: TableSpec) -> TableSpec:
    return host_wanted


@cache
def planned(space: str, precision: str) -> LatencyTable:
    """A table of the plan's ops, each of which takes 1 ms."""
    plan = plan_ops(TableSpec(get_space(space), 3, (64, 64), precision, HostTarget()))
    measured = {op.key: Measurement(1.0, 1.0, 0.0) for ops in plan.values() for op in ops}
    families = {name: family_of(ops, measured, 1.0) for name, ops in plan.items()}
    return replace(table(families), made_for={"precision": precision})


@pytest.mark.parametrize("name", SPACES)
@given(seed=st.integers(0, 10**6), precision=st.sampled_from(PRECISIONS))
@settings(max_examples=50, deadline=None)
def test_the_plan_covers_every_network_and_what_pruning_makes_of_it(name: str, seed: int, precision: str) -> None:
    space, rng = get_space(name), random.Random(seed)
    genotype = random_genotype(seed, side=64, space=name)
    narrower = {conv: rng.randrange(8, width + 8, 8) for conv, width in prunable_widths(genotype).items()}
    for drawn in (genotype, with_widths(genotype, narrower)):
        graph = space.graph(drawn)
        assert planned(name, precision).predict(graph) == pytest.approx(0.5 + 2 * len(graph))


def test_a_gate_of_one_pixel_is_priced_apart_from_one_for_every_pixel() -> None:
    shape, pixel = (4, 4, 8), (1, 1, 8)
    gates = [Op("b", ("x", "y"), MUL, (shape, second), shape) for second in (shape, pixel)]
    assert family(gates[0], INT8) != family(gates[1], INT8)
    for gate in gates:
        assert with_channels(gate, (16,)).in_shapes[1] == (*gate.in_shapes[1][:2], 16)


def test_channels_that_kernels_or_caches_treat_otherwise_are_not_interpolated_with_others() -> None:
    deep = [Op("a", (INPUT,), CONV, ((4, 4, cin),), (4, 4, 16)) for cin in (504, 512, 520)]
    assert [family(op, "float32") == family(deep[0], "float32") for op in deep] == [True, False, True]
    assert len({family(op, INT8) for op in deep}) == 1  # a pixel's 512 channels are 512 bytes
    assert family(conv(8, 24), INT8) != family(conv(8, 32), INT8)
    wide = [Op("a", (INPUT,), DEPTHWISE, ((64, 64, c),), (64, 64, c), 3) for c in (56, 64, 72)]
    assert [family(op, INT8) == family(wide[0], INT8) for op in wide] == [True, False, True]  # 64 * 64 bytes a row


def test_a_table_is_measured_on_this_machine(
    wanted: TableSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few ops of the plan and three networks, each timed as briefly as it can be."""
    hasten_tables(monkeypatch.setattr)
    monkeypatch.setattr(table_builder, "FITTED", 2)
    monkeypatch.setattr(table_builder, "HELD_OUT", 1)
    few = dict(list(table_builder.plan_ops(wanted).items())[::40])
    monkeypatch.setattr(table_builder, "plan_ops", lambda spec: few)
    monkeypatch.setattr(LatencyTable, "group_ms", lambda table, graph: {"conv": 1.0, "depthwise": 2.0, "other": 3.0})
    table = table_builder.build(wanted, tmp_path / "table.json")
    assert load_table(tmp_path / "table.json", wanted) == table
    assert all(min(one.ms) > 0 for one in table.families.values())
    assert table.calibration.reference_ms > 0


def test_a_built_table_prices_the_space_and_narrower_networks(host_table: Path, wanted: TableSpec) -> None:
    known = load_table(host_table, wanted)
    space = wanted.space
    largest = space.sample(LargestTrial(), 3, (64, 64))
    narrow = with_widths(largest, dict.fromkeys(prunable_widths(largest), 8))
    assert 0 < known.predict(space.graph(narrow)) < known.predict(space.graph(largest))
    assert known.provenance["ops"] > 500
    assert known.residuals["models"] > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"precision": "float32"}, "precision int8, not float32"),
        ({"input_size": (96, 96)}, r"input_size \[64, 64\], not \[96, 96\]"),
        ({"classes": 4}, "classes 3, not 4"),
    ],
)
def test_a_table_for_something_else_is_refused(
    host_table: Path, wanted: TableSpec, change: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        load_table(host_table, dataclasses.replace(wanted, **change))  # type: ignore[arg-type]
    assert "python -m nas.latency build" in str(caught.value)


def test_a_table_of_another_runtime_is_refused(host_table: Path, wanted: TableSpec, tmp_path: Path) -> None:
    known = load_table(host_table, wanted)
    other = dataclasses.replace(known, made_for={**known.made_for, "runtime": "litert 1.0 xnnpack"})
    path = tmp_path / "t.json"
    path.write_text(other.to_json())
    with pytest.raises(InputError, match=r"runtime litert 1\.0 xnnpack"):
        load_table(path, wanted)


def test_a_table_of_another_processor_is_refused(host_table: Path, wanted: TableSpec, tmp_path: Path) -> None:
    known, path = load_table(host_table, wanted), tmp_path / "t.json"
    board = "Raspberry Pi 5 Model B Rev 1.0: 4 cores 0x41/0xd0b at 2400 MHz"
    path.write_text(dataclasses.replace(known, made_for={**known.made_for, "processor": board}).to_json())
    with pytest.raises(InputError) as caught:
        load_table(path, wanted)
    said = (
        f"{path}: made for processor {board}, not {known.made_for['processor']}; build one with python -m nas.latency"
    )
    assert str(caught.value).startswith(said)


def test_an_interrupted_build_measures_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partial, plan = tmp_path / "t.partial", MeasurementPlan("t", 0.01, 2, 0.05)
    measured: list[int] = []

    def measure(target: HostTarget, models: list[bytes], seconds: float) -> list[Latency]:
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(len(models))
        return [Latency(1.0, 1.0, 1.0, 1.0, 1.0, 9) for _ in models]

    monkeypatch.setattr(HostTarget, "measure_once", measure)
    monkeypatch.setattr(repeats, "SAVE_SECONDS", 0.0)
    models = {name: lambda: b"" for name in "abcd"}
    with pytest.raises(KeyboardInterrupt):
        measure_repeatedly(HostTarget(), models, plan, partial, {"of": "this"})
    assert {name: len(made) for name, made in json.loads(partial.read_text())["measurements"].items()} == dict.fromkeys(
        "abcd", 1
    )
    measured.clear()
    found = measure_repeatedly(HostTarget(), models, replace(plan, group_size=4), partial, {"of": "this"})
    assert measured == [4]
    assert {len(made) for made in found.values()} == {2}
    measured.clear()
    measure_repeatedly(HostTarget(), models, replace(plan, group_size=4), partial, {"of": "that"})
    assert measured == [4, 4]


def test_a_model_is_measured_again_until_two_measurements_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter([[1.0, 1.0], [1.5, 1.02], [1.03]])

    def measure(target: HostTarget, models: list[bytes], seconds: float) -> list[Latency]:
        return [Latency(r, r, r, r, r, 9) for r in next(said)]

    monkeypatch.setattr(HostTarget, "measure_once", measure)
    found = measure_repeatedly(HostTarget(), {"disturbed": bytes, "calm": bytes}, MeasurementPlan("t", 0.01, 2, 0.05))
    assert [one.relative_time for one in found["disturbed"]] == [1.0, 1.5, 1.03]
    assert [one.relative_time for one in found["calm"]] == [1.0, 1.02]
    assert combine(found["disturbed"]).relative_time == 1.03
    assert combine(found["calm"]).relative_time == pytest.approx(1.01)


def test_what_slows_a_group_and_its_control_networks_alike_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    slower = iter([1.0, 1.5, 1.0, 1.1])
    known = {b"a": 2.0, b"b": 6.0, b"short": 1.0, b"long": 4.0}

    def measure(target: HostTarget, models: list[bytes], seconds: float) -> list[Latency]:
        now = next(slower)
        return [Latency(r, r, r, r, r, 9) for r in (known[model] * now for model in models)]

    monkeypatch.setattr(HostTarget, "measure_once", measure)
    models = {"a": lambda: b"a", "b": lambda: b"b"}
    found = measure_repeatedly(
        HostTarget(), models, MeasurementPlan("t", 0.01, 1, 0.05), control_networks=[b"short", b"long"]
    )
    assert {name: [one.relative_time for one in made] for name, made in found.items()} == {
        "a": pytest.approx([1.0, 1.0]),
        "b": pytest.approx([3.0, 3.0]),
    }
    assert median_control_time(found) == pytest.approx(2 * 1.05)


def test_check_counts_networks_that_the_table_does_not_cover() -> None:
    rows = [
        {"genotype": "a", "measured_ms": 2.0, "predicted_ms": 2.06, "macs": 5},
        {"genotype": "b", "measured_ms": 4.0, "predicted_ms": 3.6, "macs": 9},
        {"genotype": "c", "measured_ms": 4.0, "predicted_ms": None, "macs": 9, "missing": "conv"},
    ]
    found = summarize(rows)
    assert found["coverage"] == pytest.approx(2 / 3)
    assert found["rmspe"] == pytest.approx(math.sqrt((0.03**2 + 0.1**2) / 2))
    assert (found["within_5"], found["within_10"]) == (0.5, 1.0)
    assert (found["worst"]["genotype"], found["worst"]["error"]) == ("b", pytest.approx(-0.1))
    with pytest.raises(InputError, match="none of 1 networks is covered"):
        summarize(rows[2:])
