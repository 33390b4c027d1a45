"""Pruners by the name `--pruner` knows them by: Optuna's, and nni's assessors behind the same interface. They end
the training of a candidate early; an over-budget one is refused before (`nas.study`)."""

from collections.abc import Callable
from typing import Any

from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search_spaces.errors import InputError

RUNGS = 6  # evaluations of a candidate while it trains, evenly spaced
WATCHED = 4  # candidates trained to their end before any is stopped


def _none(reports: int) -> BasePruner:
    return NopPruner()


def _median(reports: int) -> BasePruner:
    return MedianPruner(n_startup_trials=WATCHED, n_warmup_steps=1)


def _hyperband(reports: int) -> BasePruner:
    return HyperbandPruner(min_resource=1, max_resource=reports, reduction_factor=2)


def _medianstop(reports: int) -> BasePruner:
    return AssessorPruner("medianstop")


def _curvefitting(reports: int) -> BasePruner:
    return AssessorPruner("curvefitting", reports)


# name -> number of evaluations while a candidate trains -> pruner
PRUNERS: dict[str, Callable[[int], BasePruner]] = {
    "none": _none,
    "median": _median,
    "hyperband": _hyperband,
    "medianstop": _medianstop,
    "curvefitting": _curvefitting,
}


class AssessorPruner(BasePruner):
    """nni's Medianstop (Golovin et al. 2017) or Curvefitting (Domhan et al. 2015) assessor.

    An assessor keeps what it has seen in its process; here it is told of the finished candidates anew each time, so
    it serves several workers and a resumed study. Raises InputError without nni.
    """

    def __init__(self, name: str, reports: int = RUNGS) -> None:
        try:
            from nni.algorithms.hpo.curvefitting_assessor import CurvefittingAssessor
            from nni.algorithms.hpo.medianstop_assessor import MedianstopAssessor
            from nni.assessor import AssessResult
        except ImportError as error:
            raise InputError(f'--pruner {name}: {error}; pip install "slimlab[nni]"') from error
        self.bad = AssessResult.Bad
        self.make: Callable[[], Any] = (
            (lambda: MedianstopAssessor("maximize", start_step=2))
            if name == "medianstop"
            else (lambda: CurvefittingAssessor(epoch_num=reports, start_step=max(2, reports // 2), threshold=0.95))
        )

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        finished = [t for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if t.intermediate_values]
        if len(finished) < WATCHED or not trial.intermediate_values:
            return False
        assessor = self.make()
        for other in finished:
            assessor.assess_trial(other.number, _history(other))
            assessor.trial_end(other.number, True)
        return bool(assessor.assess_trial(trial.number, _history(trial)) is self.bad)


def _history(trial: FrozenTrial) -> list[float]:
    return [value for _, value in sorted(trial.intermediate_values.items())]
