"""Pruners by the names of `--pruner`: Optuna's, and nni's assessors behind the same interface.

A pruner ends the training of a poor candidate early. An infeasible candidate is never trained (`nas.feasibility`).
"""

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
    """nni's Medianstop (Golovin et al. 2017) or Curvefitting (Domhan et al. 2015) assessor as a pruner of Optuna.

    An assessor keeps what it has seen in its process. Here it is told of the finished candidates anew each time, so it
    serves several workers and a resumed study.

    Args:
        name: `medianstop` or `curvefitting`.
        reports: How many evaluations a whole training has.

    Raises:
        InputError: nni is not installed.
    """

    def __init__(self, name: str, reports: int = RUNGS) -> None:
        try:
            from nni.algorithms.hpo.curvefitting_assessor import CurvefittingAssessor
            from nni.algorithms.hpo.medianstop_assessor import MedianstopAssessor
            from nni.assessor import AssessResult
        except ImportError as error:
            raise InputError(f'--pruner {name}: {error}; pip install "slimlab[nni]"') from error
        self.name, self.bad = name, AssessResult.Bad
        self.make: Callable[[], Any] = (
            (lambda: MedianstopAssessor("maximize", start_step=2))
            if name == "medianstop"
            else (lambda: CurvefittingAssessor(epoch_num=reports, start_step=max(2, reports // 2), threshold=0.95))
        )

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Decides whether the training of a candidate ends.

        Args:
            study: The study.
            trial: The candidate, with its evaluations so far.

        Returns:
            Whether it ends.
        """
        finished = [t for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if t.intermediate_values]
        if len(finished) < WATCHED or not trial.intermediate_values:
            return False
        assessor = self.make()
        if self.name == "curvefitting":  # it compares with the best alone, and each assessment fits curves for seconds
            finished = [max(finished, key=lambda t: _history(t)[-1])]
        for other in finished:
            assessor.assess_trial(other.number, _history(other))
            assessor.trial_end(other.number, True)
        return bool(assessor.assess_trial(trial.number, _history(trial)) is self.bad)


def _history(trial: FrozenTrial) -> list[float]:
    return [value for _, value in sorted(trial.intermediate_values.items())]
