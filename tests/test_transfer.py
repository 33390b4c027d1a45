"""Tables made from those of other devices. The devices are simulated: what an op takes there is known to the test."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commands import Command

import nas.latency
from compress.latency import builder, networks, op_plan, transfer
from compress.latency.busy_machine import Latency
from compress.latency.families import family
from compress.latency.networks import random_networks
from compress.latency.spec import TableSpec, load_table
from compress.latency.table import LatencyTable
from compress.latency.targets import HostTarget
from compress.tflite.writer import INT8
from search_spaces import costs, get_space
from search_spaces.errors import InputError
from search_spaces.ops import Graph, Op

NOISE = 0.01
KNOWN: dict[bytes, Graph] = {}  # what is in a made-up file


def made_up_model(graph: Graph, precision: str = INT8) -> bytes:
    content = repr([op.work for op in graph]).encode()
    KNOWN[content] = graph
    return content


def work_ms(op: Op) -> float:
    """A device that computes 20 MACs a ns and moves 4 bytes a ns."""
    moved = sum(h * w * c for h, w, c in (*op.in_shapes, op.shape))
    return 1e-6 * (costs.macs((op,)) / 20 + moved / 4) + 1e-3


@dataclass(frozen=True)
class Simulated(HostTarget):
    """A device on which each family takes some times as long, and a network 5 % less than its ops."""

    scale: Callable[[Op], float] = field(default=lambda op: 1.0)
    seed: int = 0
    count: list[int] = field(default_factory=list)

    def facts(self) -> dict[str, str]:
        return {"runtime": f"runtime {self.seed}", "processor": "simulated"}

    def fastest_reference_ms(self) -> float:
        return 1.0

    def ms(self, graph: Graph) -> float:
        return (0.95 if len(graph) > 1 else 1.0) * sum(self.scale(op) * work_ms(op) for op in graph)

    def measure_once(self, models: Sequence[bytes], seconds: float) -> list[Latency]:
        self.count.append(len(models))
        rng = random.Random(f"{self.seed} {len(self.count)}")
        found = [self.ms(KNOWN[model]) * rng.gauss(1.0, NOISE) for model in models]
        return [Latency(ms, ms, ms, ms, ms, 10) for ms in found]


def family_factor(op: Op, seed: int = 1) -> float:
    """From half to twice, and another factor for each family; of those of 1x1 convolutions it grows with the width."""
    name = family(op, INT8)
    factor = 2.0 ** random.Random(f"{seed} {name}").uniform(-1, 1)
    return factor * (1 + op.shape[2] / 200 if "_k1_" in name and "32x32" in name else 1.0)


@pytest.fixture(scope="module")
def spec() -> TableSpec:
    return TableSpec(get_space("deeplabv3plus"), 3, (64, 64), INT8, Simulated())


@pytest.fixture(scope="module")
def source(spec: TableSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of the first device."""
    path = tmp_path_factory.mktemp("tables") / "source.json"
    with pytest.MonkeyPatch.context() as patch:
        simulate(patch)
        builder.build(spec, path)
    return path


PLANS: dict[str, Any] = {}  # a plan takes a second


def simulate(patch: pytest.MonkeyPatch) -> None:
    for module in (builder, networks, transfer):
        patch.setattr(module, "random_weight_model", made_up_model)

    def plan_once(spec: TableSpec) -> Any:
        if spec.precision not in PLANS:
            PLANS[spec.precision] = op_plan.plan_ops(spec)
        return PLANS[spec.precision]

    for module in (builder, transfer):
        patch.setattr(module, "plan_ops", plan_once)


def errors(table: LatencyTable, spec: TableSpec, device: Simulated) -> list[float]:
    return [abs(table.predict(graph) / device.ms(graph) - 1) for graph in random_networks(spec, 30, 77).values()]


def test_a_table_of_another_device_is_right_after_few_measurements(
    spec: TableSpec, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(monkeypatch)
    device = Simulated(scale=family_factor, seed=1)
    wanted = replace(spec, target=device)
    before = load_table(source, spec)
    made = transfer.transfer(wanted, source, tmp_path / "new.json")
    assert max(errors(made, wanted, device)) <= 0.05
    assert max(errors(before, wanted, device)) > 0.2  # the devices differ
    assert made.provenance["ops"] < 0.6 * before.provenance["ops"]
    whole, _, of = made.provenance["families_measured"].partition(" of ")
    assert 0 < int(whole) < int(of) / 2
    assert load_table(tmp_path / "new.json", wanted).to_json() == made.to_json()
    assert {one.name for one in tmp_path.iterdir()} == {"new.json"}


def test_the_same_device_needs_three_ops_of_a_family(
    spec: TableSpec, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(monkeypatch)
    device = Simulated(scale=lambda op: 1.5, seed=2)
    made = transfer.transfer(replace(spec, target=device), source, tmp_path / "new.json")
    assert made.provenance["families_measured"].startswith("0 of ")
    assert max(errors(made, spec, device)) <= 0.05


@pytest.mark.slow
def test_an_interrupted_transfer_goes_on(
    spec: TableSpec, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(monkeypatch)
    whole, broken = (Simulated(scale=partial(family_factor, seed=3), seed=3) for _ in range(2))
    transfer.transfer(replace(spec, target=whole), source, tmp_path / "whole.json")
    monkeypatch.setattr(transfer, "fit_table", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        transfer.transfer(replace(spec, target=broken), source, tmp_path / "new.json")
    monkeypatch.undo()
    simulate(monkeypatch)
    again = Simulated(scale=partial(family_factor, seed=3), seed=3)
    transfer.transfer(replace(spec, target=again), source, tmp_path / "new.json")
    assert sum(again.count) == 0


def test_a_table_of_other_networks_is_refused(source: Path, command: Command, tmp_path: Path) -> None:
    asked = ["build", "--input-size", 64, "--classes", 5, "--table", tmp_path / "new.json"]
    code, _, err = command(nas.latency.main, *asked, "--from", source)
    assert (code, "made for classes 3, not 5; give another table" in err, err.count("\n")) == (2, True, 1)
    code, _, err = command(nas.latency.main, *asked, "--from", tmp_path / "nothing.json")
    assert (code, "nothing.json is missing" in err) == (2, True)
    with pytest.raises(InputError, match=r"give the table of another device"):
        (tmp_path / "bad.json").write_text("{")
        transfer.transfer(
            TableSpec(get_space("deeplabv3plus"), 3, (64, 64), INT8, Simulated()), tmp_path / "bad.json", tmp_path / "x"
        )
