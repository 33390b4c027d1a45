"""What tests of studies share: a problem priced by MACs, candidates scored by a formula."""

from typing import Any

import optuna
from made_data import CLASSES
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import Trial
from studies import MACS_TABLE

from compress.stages.config import RunConfig
from nas.candidate_loop import CandidateLoop
from nas.constraints import Constraints
from nas.feasibility import Survey
from nas.heartbeat import Worker
from nas.problem import Problem
from nas.study import open_study
from search_spaces import costs, get_space
from search_spaces.genotype import Genotype


def problem(budget_ms: float = 4.0, **limits: float) -> Problem:
    return Problem(get_space("deeplabv3plus"), MACS_TABLE, CLASSES, (128, 128), Constraints(budget_ms, **limits))


def worth(genotype: Genotype, trial: Trial | None = None) -> float:
    """A figure that a search can climb: capacity, discounted."""
    return costs.params(get_space(genotype.space).graph(genotype)) ** 0.2 / 40


def searched(
    config: RunConfig, surveyed: Survey, seed: int = 0, storage: BaseStorage | None = None, **more: Any
) -> optuna.Study:
    """In memory unless told otherwise."""
    study = open_study("tried", storage or InMemoryStorage(), config, surveyed, {**config.flat(), "seed": seed})
    with Worker(study) as worker:
        CandidateLoop(worker, problem(), config, seed, more.pop("score", worth), **more).run()
    return study
