"""A latency that was measured on a busy machine is measured again, or marked."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compress.latency.busy_machine import MAX_TRIES, Latency, latency_of, measure_until_quiet
from compress.latency.targets import HostTarget
from compress.latency.timing import Timed
from compress.stages import quantize
from compress.stages.run import STAGES
from compress.tflite.fallback import FileFigures
from nas.finalists import Measured, finalist_record
from nas.pages.tables import remarks
from nas.study import Candidate
from search_spaces.genotype import Genotype
from search_spaces.network import Network

QUIET = Timed(28.4, 27.9, 29.6, 28.9, 60, 0.99)
# as timed beside six busy programs on two cores: the reference is interrupted less often than the much longer runs
INTERRUPTED = Timed(61.7, 52.0, 68.0, 98.0, 5, 0.39)


@pytest.mark.parametrize(
    ("timed", "reason"),
    [
        (INTERRUPTED, "other programs took the core for 61% of the time"),
        (Timed(30.0, 21.0, 43.0, 31.0, 9), "the runs spread by 73%"),  # an Android device tells no share
        (Timed(30.0, 29.0, 31.0, 69.0, 9, 1.0), "everything took 2.3 times as long as on the quiet machine"),
    ],
)
def test_what_shows_that_the_correction_failed(timed: Timed, reason: str) -> None:
    assert latency_of(timed, 1.0).busy == reason


def test_a_quiet_machine_is_not_marked() -> None:
    latency = latency_of(QUIET, 2.0)
    assert latency == Latency(56.8, 55.8, 59.2, 28.9, 28.4, 60, "")


class Scripted(HostTarget):
    """A target that gives the next of a list of timings at each measurement."""

    def __init__(self, *rounds: list[Timed]) -> None:
        super().__init__()
        object.__setattr__(self, "rounds", list(rounds))
        object.__setattr__(self, "asked", [])

    def time(self, models: Sequence[bytes], seconds: float) -> tuple[list[Timed], float]:
        self.asked.append(list(models))  # type: ignore[attr-defined]
        return self.rounds.pop(0), 1.0  # type: ignore[attr-defined]


def test_only_busy_models_are_measured_again_until_one_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    target = Scripted([QUIET, INTERRUPTED], [INTERRUPTED], [QUIET])
    found = target.measure([b"a", b"b"])
    assert [one.ms for one in found] == [28.4, 28.4]
    assert not any(one.busy for one in found)
    assert target.asked == [[b"a", b"b"], [b"b"], [b"b"]]  # type: ignore[attr-defined]
    out = capsys.readouterr().out.splitlines()
    assert [line[-23:] for line in out] == ["measuring again (1 of 2)"[-23:], "measuring again (2 of 2)"[-23:]]


def test_a_machine_that_stays_busy_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    less = Timed(48.0, 40.0, 55.0, 90.0, 5, 0.5)
    (found,) = Scripted([INTERRUPTED], [less], [INTERRUPTED]).measure([b"a"])
    assert (found.ms, found.busy) == (48.0, "other programs took the core for 50% of the time")
    assert "marked as busy" in capsys.readouterr().out.splitlines()[-1]


def test_a_quiet_measurement_is_made_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert Scripted([QUIET]).measure([b"a"])[0].ms == 28.4
    assert not capsys.readouterr().out


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=MAX_TRIES, max_size=MAX_TRIES))
def test_a_result_is_quiet_when_any_measurement_was(rounds: list[list[bool]]) -> None:
    def measure(models: Sequence[bytes]) -> list[Latency]:
        busy = rounds[tries.pop(0)]
        return [Latency(1.0, 1.0, 1.0, 1.0, 1.0, 1, "busy" if busy[model[0]] else "") for model in models]

    tries = list(range(MAX_TRIES))
    found = measure_until_quiet(measure, [b"\0", b"\1", b"\2"])
    assert [bool(one.busy) for one in found] == [all(busy[i] for busy in rounds) for i in range(3)]


def test_the_host_says_how_much_of_the_core_it_had() -> None:
    from compress.latency.reference import reference_models

    (timed,), _ = HostTarget().time(reference_models()[:1], 0.0)
    assert timed.cpu_share is not None
    assert 0 < timed.cpu_share <= 1


def test_the_report_tells_of_busy_measurements() -> None:
    quiet = {"rounds": [1], "target_ms": 1.0, "taught_miou": 0.5, "undone": False}
    marked = {"export": {"busy": "spread"}}
    run: Any = SimpleNamespace(stages=STAGES, metrics=lambda name: {**quiet, **marked.get(name, {})})
    assert remarks(run) == ["The machine was busy while export was measured (spread)."]


def test_quantize_and_finalists_record_a_busy_machine(tiny: Genotype, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = Latency(28.4, 28.0, 29.0, 28.4, 28.4, 5)
    busy = replace(quiet, busy="the runs spread by 60%")
    target = SimpleNamespace(measure=lambda models: [busy])
    run: Any = SimpleNamespace(target=target, validation=None)
    monkeypatch.setattr(quantize, "evaluate_tflite", lambda *given: (torch.ones(3, 3), []))
    figures = quantize.file_runner(run, Network(tiny), "test")(b"file")
    assert (figures.latency_ms, figures.busy) == (28.4, "the runs spread by 60%")
    in_float = quantize.FloatFigures(0.5, 50.0, size_bytes=9)
    assert quantize.busy_mark(in_float, figures) == {"busy": "the runs spread by 60%"}
    assert quantize.busy_mark(replace(in_float, busy="often"), FileFigures(0.5, 1.0)) == {"float_busy": "often"}
    candidate = Candidate(tiny, 30.0, 0.5)
    assert finalist_record(Measured(candidate, busy), {})["busy"] == "the runs spread by 60%"
    assert "busy" not in finalist_record(Measured(candidate, quiet), {})
