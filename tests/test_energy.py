"""Energy: sensors whose true value the test knows, tables with energy, and searches that have no sensor."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from commands import Command, flags
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_runs import BySize
from test_adb import Script, adb  # noqa: F401 (a fixture)
from test_boards import board  # noqa: F401 (a fixture)

import nas.latency
import nas.search
from compress.latency import energy_builder, energy_meter, power_rails
from compress.latency.energy import EnergyFit, energies_of
from compress.latency.energy_builder import add_energy, fit_energy
from compress.latency.energy_meter import NoSensor, consumed, measure_energy, open_sensor
from compress.latency.networks import random_networks
from compress.latency.spec import TableSpec, load_table
from compress.latency.table import GROUPS, read_table
from compress.latency.targets import HostTarget, open_target
from compress.stages.config import RunConfig
from compress.stages.verify import energy_figures
from nas.constraints import constraints_of
from nas.finalists import choose_winner
from nas.preparation import with_energy
from nas.problem import costs_of
from nas.study import Candidate
from search_spaces.errors import BudgetError, InputError
from search_spaces.genotype import Genotype


class Device:
    """A device with a clock of its own. Its idle power drifts; a run takes 25 ms and `run_watts` more."""

    def __init__(self, idle_watts: float, watts_a_second: float, run_watts: float) -> None:
        self.idle_watts, self.watts_a_second, self.run_watts = idle_watts, watts_a_second, run_watts
        self.now = self.joules = self.watts = 0.0

    def spend(self, seconds: float, watts: float) -> None:
        idle = self.idle_watts + self.watts_a_second * (self.now + seconds / 2)
        self.joules += (idle + watts) * seconds
        self.watts = idle + watts
        self.now += seconds

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.spend(seconds, 0.0)

    def run(self) -> None:
        self.spend(0.025, self.run_watts)


KINDS = ["energy_uj", "energy1_input", "power1_input", "power_now", "curr3_input", "current_now"]


def show(device: Device, folder: Path, kind: str) -> Path:
    """Writes the files of a sensor; returns the path that a user would name."""
    if kind == "energy_uj":  # it begins again at 2 J
        (folder / "max_energy_range_uj").write_text("2000000\n")
        (folder / kind).write_text(f"{device.joules % 2 * 1e6:.0f}\n")
    elif kind == "energy1_input":
        (folder / kind).write_text(f"{device.joules * 1e6:.0f}\n")
    elif kind in ("power1_input", "power_now"):
        (folder / kind).write_text(f"{device.watts * 1e6:.0f}\n")
    elif kind == "curr3_input":  # INA3221: three channels of mV and mA
        (folder / "in3_input").write_text("5000\n")
        (folder / kind).write_text(f"{device.watts / 5 * 1e3:.3f}\n")
        return folder / kind
    else:  # a battery that gives discharge below zero
        (folder / "status").write_text("Discharging\n")
        (folder / "voltage_now").write_text("4000000\n")
        (folder / kind).write_text(f"-{device.watts / 4 * 1e6:.0f}\n")
    return folder


class Shown(Device):
    """A device that writes its sensor's files as time passes."""

    def __init__(self, folder: Path, kind: str, *power: float) -> None:
        super().__init__(*power)
        self.folder, self.kind = folder, kind
        self.path = show(self, folder, kind)

    def spend(self, seconds: float, watts: float) -> None:
        super().spend(seconds, watts)
        show(self, self.folder, self.kind)


@pytest.mark.parametrize("kind", KINDS)
def test_energy_is_what_the_device_spends_above_idle(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 W for 25 ms are 75 mJ, whatever the idle power and its drift; a counter that begins again is followed."""
    monkeypatch.setattr(energy_meter, "BATTERY_SETTLE_SECONDS", 0.3)
    device = Shown(tmp_path, kind, 2.0, 0.01, 3.0)
    sensor = open_sensor(str(device.path))
    (made,) = measure_energy([device.run], sensor, 0.5, device)
    (energy,) = energies_of({"sensor": sensor.name, "energies": [made]}, "host")
    assert energy.mj == pytest.approx(75.0, rel=2e-3)
    assert energy.spread < 0.01
    assert energy.idle_w == pytest.approx(2.0 + 0.01 * device.now / 2, rel=0.05)


class Exact:
    """A counter without files."""

    sources = (energy_meter.Source((), 1.0, True),)
    settle_s = 0.1
    joules = energy_meter.Sensor.joules

    def __init__(self, device: Device) -> None:
        self.device = device

    def read(self) -> list[float]:
        return [self.device.joules]


@settings(max_examples=10, deadline=None)
@given(st.floats(0.1, 50), st.floats(-0.005, 0.05), st.floats(0.1, 50), st.floats(0.1, 50))
def test_idle_power_that_drifts_cancels(idle: float, drift: float, one: float, other: float) -> None:
    device = Device(idle, drift, 0.0)

    def run(watts: float) -> Any:
        return lambda: device.spend(0.025, watts)

    made = measure_energy([run(one), run(other)], Exact(device), 0.5, device)  # type: ignore[arg-type]
    for found, watts in zip(made, (one, other), strict=True):
        chunk = abs(drift) * energy_meter.CHUNK_SECONDS * 0.025  # the times may differ by one reading
        assert found["joules"] == pytest.approx([watts * 0.025] * energy_meter.REPEATS, rel=1e-6, abs=2 * chunk)


def test_the_processor_counts_packages_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cores are a part of their package, and psys holds all: they are not added."""
    monkeypatch.setattr(energy_meter, "POWERCAP", tmp_path)
    for at, name in {"0": "package-0", "0:0": "core", "0:1": "dram", "1": "psys"}.items():
        domain = tmp_path / f"intel-rapl:{at}"
        domain.mkdir()
        (domain / "name").write_text(f"{name}\n")
        (domain / "energy_uj").write_text("1000000\n")
    assert open_sensor().read() == [1.0, 1.0]


def test_one_line_says_why_a_sensor_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusal(path: object) -> str:
        with pytest.raises(InputError) as caught:
            open_target("host", 1, energy_sensor=str(path)).energy_sensor_name()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    monkeypatch.setattr(energy_meter, "POWERCAP", tmp_path / "none")
    assert "has no RAPL; name a powercap" in refusal("")
    assert "there is no such file" in refusal(tmp_path / "nowhere")
    assert "none of energy_uj" in refusal(tmp_path)
    path = show(Device(1.0, 0.0, 1.0), tmp_path, "current_now")
    (path / "status").write_text("Charging\n")
    assert "is being charged" in refusal(path)
    (path / "power1_input").write_text("no number\n")
    (path / "voltage_now").unlink()
    assert "gives no number" in refusal(path)

    def forbidden(self: Path, *given: Any, **named: Any) -> str:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_text", forbidden)
    assert f"may not be read by this user; allow it with: sudo chmod a+r {path}/power1_input" in refusal(path)


def test_a_sensor_that_does_not_show_the_runs_is_refused(tmp_path: Path) -> None:
    device = Shown(tmp_path, "power1_input", 2.0, 0.0, 0.0)
    made = measure_energy([device.run], open_sensor(str(tmp_path)), 0.1, device)
    with pytest.raises(InputError, match=r"shows no more power in runs than in idle times; name another"):
        energies_of({"sensor": "a", "energies": made}, "host")


def test_reading_power_takes_no_part_in_the_time() -> None:
    """An INA chip takes a millisecond to read, in which nothing runs."""
    device = Device(1.0, 0.0, 1.0)

    class Slow(Exact):
        sources = (energy_meter.Source((), 1.0, False),)

        def read(self) -> list[float]:
            watts = self.device.watts
            self.device.sleep(0.001)
            return [watts]

    joules, taken, times = consumed(Slow(device), device.run, 0.5, device)  # type: ignore[arg-type]
    assert joules / taken == pytest.approx(2.0)
    assert taken == pytest.approx(0.025 * times)


def test_a_board_measures_by_the_sensor_that_is_named(board: Script, tmp_path: Path) -> None:  # noqa: F811
    board("")
    show(Device(1.0, 0.0, 1.0), tmp_path, "energy1_input")
    target = open_target("ssh:pi@board", 1, energy_sensor=str(tmp_path))
    assert target.energy_sensor_name() == str(tmp_path)
    with pytest.raises(InputError, match=r"--target ssh:pi@board: --energy-sensor /nowhere: there is no such file"):
        open_target("ssh:pi@board", 1, energy_sensor="/nowhere").energy_sensor_name()


# of a Pixel: the rails count millijoules since the start
RAILS = """ 100.00 50.00
============= PowerStats HAL 2.0 energy meter ==============
                           Channel    Cumulative Energy
           [S2M_VDD_CPUCL2]:CPU(BIG)          1000.50 mWs
                   [S1M_VDD_MIF]:DDR           500.25 mWs
              [VSYS_PWR_DISPLAY]:Display     90000.00 mWs
========== End of PowerStats HAL 2.0 energy meter ==========
end
"""


def reading(when: float, mws: float) -> str:
    return "rails\n" + RAILS.replace(" 100.00 ", f" {when:.2f} ").replace("1000.50", f"{mws:.2f}")


def test_power_rails_of_a_phone() -> None:
    """Idle takes 1 W. Loading takes 200 mJ in both sessions, a run 4 mJ above idle in 10 ms."""
    when, told = power_rails.parse_rails(RAILS)
    rails = [name for name in told if "CPU" in name]
    assert (when, told[rails[0]]) == (100.0, 1.0005)
    begun, spent, printed = 100.0, 0.0, ""
    for seconds, runs in ((2.0, 0), (0.6, 50), (2.1, 200), (2.0, 0)):
        printed += reading(begun, spent) + (f"count=1 curr=9\ncount={runs - 1} avg=10000\n" if runs else "")
        begun, spent = begun + seconds, spent + 1000 * seconds + (200 + 4 * runs if runs else 0)
    # what a session prints stands behind the reading before it
    joules, idle_w, runs = power_rails.run_energy(printed + reading(begun, spent), rails)
    assert (joules, idle_w, runs) == (pytest.approx(0.004), pytest.approx(1.0), 150)


def test_a_phone_without_rails_is_refused(adb: Script, tmp_path: Path) -> None:  # noqa: F811
    adb("")
    with pytest.raises(InputError, match=r"--target adb: no sensor of energy: its dumpsys shows no power rails"):
        open_target("adb", 1).energy_sensor_name()


# a run adds 3 mJ to the counter, and each command takes two seconds of the made-up time
PASS = """t=$(cut -d. -f1 {here}/uptime)
echo "$((t + 2)).00 0" > {here}/uptime
"""
METERED = """n=10
for given; do [ "$given" = --min_secs=2.000 ] && n=40; done
echo $(($(cat {here}/spent) + 3 * n)) > {here}/spent
echo "count=$n first=900 curr=900 min=900 max=1100 avg=1000 std=50"
"""


def test_a_phone_measures_by_its_rails(
    adb: Script,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "spent").write_text("7\n")
    (tmp_path / "uptime").write_text("100.00 0\n")
    (tmp_path / "benchmark_model").write_text("#!/bin/sh\n" + (PASS + METERED).format(here=tmp_path))
    (tmp_path / "tools/sleep").write_text("#!/bin/sh\n" + PASS.format(here=tmp_path))
    meter = RAILS.replace("1000.50", "$(cat {here}/spent).00").partition("\n")[2].replace("(BIG)", "BIG")
    (tmp_path / "tools/dumpsys").write_text(f"#!/bin/sh\ncat <<.\n{meter.format(here=tmp_path)}.\n")
    for name in ("LOOP", "RAILS"):
        monkeypatch.setattr(power_rails, name, getattr(power_rails, name).replace("/proc/uptime", f"{tmp_path}/uptime"))
    adb("")
    with pytest.raises(InputError, match=r"name rails of .*VDD_CPUCL2"):
        open_target("adb", 1, energy_sensor="GPU").energy_sensor_name()
    phone = open_target("adb", 1)
    assert phone.energy_sensor_name() == "power rails [S2M_VDD_CPUCL2]:CPUBIG, [S1M_VDD_MIF]:DDR"
    for energy in phone.measure_energy([b"one", b"other"]):
        assert (energy.mj, energy.idle_w, energy.runs) == (pytest.approx(3.0), 0.0, 30 * energy_meter.REPEATS)


@dataclasses.dataclass(frozen=True)
class Metered(BySize):
    """A millijoule for each of a model's 1000 bytes."""

    def _energies(self, models: Sequence[bytes], seconds: float) -> dict[str, Any]:
        one = [{"joules": [len(model) / 1e6] * 3, "idle_w": 1.0, "runs": 10} for model in models]
        return {"sensor": "simulated", "energies": one}


def test_powers_of_groups_are_found_again() -> None:
    sums = [
        {"conv": c, "depthwise": d, "other": o} for c, d, o in [(5, 1, 1), (1, 6, 1), (2, 2, 4), (9, 3, 2), (4, 8, 1)]
    ]
    watts = {"conv": 4.4, "depthwise": 3.6, "other": 4.8}
    found = fit_energy(sums, [1.0 + sum(watts[name] * ms for name, ms in one.items()) for one in sums])
    assert {name: found[name] for name in watts} == pytest.approx(watts, rel=0.03)


@pytest.fixture
def metered(host_table: Path, host_wanted: TableSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TableSpec:
    """What the host's table is for, on a target with a sensor."""
    for name, count in {"FITTED": 6, "HELD_OUT": 2}.items():
        monkeypatch.setattr(energy_builder, name, count)
    return dataclasses.replace(host_wanted, target=Metered())


def test_a_table_gets_energy_and_keeps_it(metered: TableSpec, host_table: Path, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    plain = load_table(host_table, metered)
    (graph,) = random_networks(metered, 1, 5).values()
    assert plain.price(graph).energy_mj is None
    made = add_energy(metered, plain, path)
    again = load_table(path, metered)
    assert again.price(graph).energy_mj == made.price(graph).energy_mj is not None
    assert again.predict(graph) == plain.predict(graph)
    assert set(again.energy.coefficients) == {"intercept", *GROUPS} if again.energy else False
    assert with_energy(metered, again, path) is again
    with pytest.raises(
        InputError, match=rf"{host_table} has no energy; add it with python -m nas.latency build .* --energy"
    ):
        with_energy(metered, plain, host_table)
    other = dataclasses.replace(again, energy=EnergyFit("RAPL", {}, {}, 0.0, 0.0))
    with pytest.raises(InputError, match=r"has energy of RAPL, not of simulated"):
        with_energy(metered, other, path)


def test_energy_is_a_constraint_and_an_objective(metered: TableSpec, host_table: Path, tmp_path: Path) -> None:
    table = add_energy(metered, load_table(host_table, metered), tmp_path / "table.json")
    (graph,) = random_networks(metered, 1, 5).values()
    costs = costs_of(graph, table.price(graph))
    assert costs.energy_mj
    config = RunConfig(budget_ms=1e6, budget_mj=costs.energy_mj * 0.9, pareto="energy")
    assert config.costs == ("latency_ms", "energy_mj")
    over = constraints_of(config).violations(costs)
    assert over["energy_mj"] == pytest.approx(costs.energy_mj * 0.1)
    assert constraints_of(dataclasses.replace(config, budget_mj=costs.energy_mj * 1.1)).are_met_by(costs)


def test_a_candidate_over_its_energy_when_measured_is_no_finalist(run: Any, tiny: Genotype) -> None:
    small, large = (
        Candidate(dataclasses.replace(tiny, aspp_out=width), 1.0, miou) for width, miou in ((24, 0.5), (96, 0.9))
    )
    sizes = []
    target = Metered(reference_ms=1.0, unit_bytes=10**9)
    asked = dataclasses.replace(run.config, budget_mj=1e9)
    whole = dataclasses.replace(run, config=asked)
    whole.__dict__["target"] = target
    winner, records = choose_winner(
        whole, [large, small], lambda part, found: [one.miou for one in found], shares_weights=False
    )
    assert winner == large.genotype
    sizes = [one["energy_mj"] for one in records]
    whole = dataclasses.replace(run, config=dataclasses.replace(asked, budget_mj=sum(sizes) / 2))
    whole.__dict__["target"] = target
    assert (
        choose_winner(whole, [large, small], lambda part, found: [one.miou for one in found], shares_weights=False)[0]
        == small.genotype
    )
    whole = dataclasses.replace(run, config=dataclasses.replace(asked, budget_mj=1e-3))
    whole.__dict__["target"] = target
    with pytest.raises(
        BudgetError, match=r"none of 2 candidates meets --budget-mj 0.001 when measured: the least takes"
    ):
        choose_winner(whole, [large, small], lambda part, found: [one.miou for one in found], shares_weights=False)
    with pytest.raises(BudgetError, match=r"model.tflite takes 0.005 mJ, over --budget-mj 0.001"):
        energy_figures(whole, b"12345")
    assert energy_figures(run, b"12345") == {}


def test_a_search_without_a_sensor_is_refused_at_once(
    here: Path, folder_data: Path, host_table: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy_meter, "POWERCAP", tmp_path)
    asked = flags(folder_data, host_table, run="joules")
    for more in (["--budget-mj", 5], ["--pareto", "energy"]):
        code, _, err = command(nas.search.main, *asked, *more)
        assert (code, err.count("\n")) == (2, 1)
        assert "no sensor of energy" in err
    assert not (here / "runs" / "joules").exists()
    for asked, said in (
        (["--budget-mj", 5, "--target", "vela:ethos-u55-256"], "--budget-mj: Vela does not estimate the energy"),
        (["--pareto", "energy", "--target", "vela:ethos-u55-256"], "--pareto energy or --energy-sensor: Vela does not"),
        (["--budget-mj", 0], "--budget-mj 0.0: give a positive number of millijoules"),
    ):
        code, _, err = command(nas.search.main, "--budget-ms", 40, *asked)
        assert (code, err.count("\n")) == (2, 1)
        assert said in err
    code, _, err = command(nas.latency.main, "build", "--energy", "--table", tmp_path / "t.json")
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.slow
def test_a_search_with_energy(
    here: Path, folder_data: Path, host_table: Path, metered: TableSpec, command: Command, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(HostTarget, "_energies", Metered._energies)
    table = tmp_path / "table.json"
    add_energy(metered, load_table(host_table, metered), table)
    asked = flags(folder_data, table, run="joules")
    code, _, err = command(nas.search.main, *asked, "--pareto", "energy", "--budget-mj", 1000)
    assert code == 0, err
    result = json.loads((here / "runs/joules/result.json").read_text())
    assert result["energy_mj"] == pytest.approx((here / "runs/joules/model.tflite").stat().st_size / 1e3)
    assert "mJ above idle" in (here / "runs/joules/report.html").read_text()
    assert read_table(here / "runs/joules/table.json", "").energy is not None


def test_errors_of_a_sensor_are_not_hidden() -> None:
    with pytest.raises(NoSensor):
        energy_meter.read_number(Path("/nowhere/energy_uj"))
