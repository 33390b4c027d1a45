"""A search that was killed goes on as if it had not been: the same candidates, byte for byte."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import Trial
from small_studies import problem, worth

from compress.stages.config import RunConfig
from nas import heartbeat
from nas.candidate_loop import CandidateLoop
from nas.feasibility import Survey
from nas.heartbeat import Worker
from nas.study import open_study


class KilledError(BaseException):
    """What no `except Exception` keeps from ending the process."""


@contextmanager
def killed_after(patch: pytest.MonkeyPatch, owner: Any, name: str, calls: int) -> Iterator[None]:
    """The process dies at a call of a method, after `calls` of them."""
    real, seen = getattr(owner, name), 0

    def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen > calls:
            raise KilledError
        return real(*arguments, **named)

    with patch.context() as inner:
        inner.setattr(owner, name, dying)
        with pytest.raises(KilledError):
            yield


def go_on(storage: BaseStorage, config: RunConfig, surveyed: Survey, listing: Path) -> None:
    """What `nas.search` does with a study, new or begun."""
    study = open_study("tried", storage, config, surveyed, {})
    with Worker(study) as worker:
        left = worker.abandoned()
        CandidateLoop(worker, problem(), config, 0, worth, listing, left).run()


# of 8 candidates the first 3 are enqueued draws; the sampler draws the next ones parameter by parameter, later ones of
# TPE together
KILLS = [
    *(("suggest_categorical", n) for n in (0, 5, 66, 83, 150, 190)),
    *(("suggest_int", n) for n in (30, 90)),
    *(("set_user_attr", n) for n in (0, 1, 3, 27)),
    ("set_constraint", 4),
]


@pytest.mark.parametrize(
    ("sampler", "name", "calls"),
    [("tpe", *kill) for kill in KILLS]
    + [(sampler, *kill) for sampler in ("random", "nsga2", "nsga3", "evolution") for kill in KILLS[2:5:2]]
    + [pytest.param("gp", *kill, marks=pytest.mark.slow) for kill in KILLS[2:5:2]],
)
def test_a_study_killed_at_any_write_has_the_candidates_of_an_uninterrupted_one(
    sampler: str, name: str, calls: int, surveyed: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two parameters of a candidate too: the sampler is then set as it was, and draws on from there."""
    monkeypatch.setattr(heartbeat, "NAMELESS_SECONDS", 0.0)
    config = RunConfig(4.0, trials=8, sampler=sampler, strategy="supernet")  # resolutions in turns, on top of the rest
    go_on(InMemoryStorage(), config, surveyed, tmp_path / "whole.jsonl")
    storage = InMemoryStorage()
    with killed_after(monkeypatch, Trial, name, calls):
        go_on(storage, config, surveyed, tmp_path / "killed.jsonl")
    go_on(storage, config, surveyed, tmp_path / "killed.jsonl")
    assert (tmp_path / "killed.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    states = [trial.state.name for trial in optuna.load_study(study_name="tried", storage=storage).get_trials()]
    assert "RUNNING" not in states
