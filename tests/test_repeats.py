"""Networks measured in groups: what disturbs a group in another way than its control networks is taken out."""

import random
from collections.abc import Sequence
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.latency.busy_machine import Latency
from compress.latency.group_disturbances import group_disturbances
from compress.latency.repeats import MeasurementPlan, combine, measure_repeatedly
from compress.latency.targets import HostTarget

TIMES = {f"network {i}": 1.0 + i / 7 for i in range(30)}
FILES = {name: name.encode() for name in TIMES}
CONTROLS = [b"c1", b"c2", b"c3", b"c4"]


def errors(monkeypatch: pytest.MonkeyPatch, control_networks: Sequence[bytes]) -> list[float]:
    """Relative errors on a machine that slows the networks of each group by some percent, but no control networks."""
    rng = random.Random(5)
    known = {FILES[name]: ms for name, ms in TIMES.items()}

    def measure(target: HostTarget, models: Sequence[bytes], seconds: float) -> list[Latency]:
        slower = rng.uniform(0.9, 1.1)
        clean = [known[model] * slower if model in known else 1.0 for model in models]
        times = [ms * rng.gauss(1.0, 0.01) for ms in clean]
        return [Latency(ms, ms, ms, ms, ms, 9) for ms in times]

    monkeypatch.setattr(HostTarget, "measure_once", measure)
    files = {name: (lambda content=content: content) for name, content in FILES.items()}
    plan = MeasurementPlan("networks", 0.01, 6, 0.5, min_repeats=4)
    found = measure_repeatedly(HostTarget(), files, plan, control_networks=control_networks)
    ratios = [combine(made).relative_time / TIMES[name] for name, made in found.items()]
    return [abs(ratio / median(ratios) - 1) for ratio in ratios]


def test_what_slows_a_group_but_not_its_control_networks_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert max(errors(monkeypatch, [])) > 0.04  # as measured before, in units of the reference
    assert max(errors(monkeypatch, CONTROLS)) < 0.03


@given(st.lists(st.floats(0.5, 2.0), min_size=3, max_size=8), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_groups_in_which_the_control_networks_are_right_have_the_factor_1(times: list[float], repeats: int) -> None:
    groups = 2 * repeats
    measured = {
        str(i): [(2 * repeat + (i + repeat // 2) % 2, time) for repeat in range(repeats)]
        for i, time in enumerate(times)
    }
    assert group_disturbances(measured, groups) == pytest.approx([1.0] * groups)
