"""Every private interface of a library that `nas` uses, and the version it was tried with.

A library may change such an interface without notice. `tests/test_private_interfaces.py` tries each one, so that a new
version fails there with a clear message.

| library | version | what | used for | why no public way |
|---|---|---|---|---|
| optuna | 5.0.0 | `Trial(study, trial_id)`, `FrozenTrial._trial_id` | `trial_of` | no public way to a running trial |
| optuna | 5.0.0 | `system_attrs["fixed_params"]` | `fixed_params` | enqueued parameters can be read nowhere else |
| optuna | 5.0.0 | `Trial.relative_params` | `nas.half_drawn` | which parameters are drawn together is not said |
| optuna | 5.0.0 | `GPSampler._n_local_search` | `fewer_local_searches` | no argument for it |
| optuna | 5.0.0 | `RDBStorage.engine` | `engine_of` | its documentation does not list it |
| nni | 3.0 | `EvolutionTuner.population`, `.random_state`, `._random_generate_individual` | `nas.samplers` | the \
tuner keeps its population to itself |
"""

from typing import Any

import optuna
from optuna.samplers import GPSampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial
from sqlalchemy import Engine


def trial_of(study: optuna.Study, stored: FrozenTrial) -> Trial:
    """Opens a running trial that another process began. The sampler of the study must be set before.

    Args:
        study: The study.
        stored: The trial as the study has it.

    Returns:
        The trial; it can suggest parameters, and the study can be told of its end.
    """
    return Trial(study, stored._trial_id)


def fixed_params(stored: FrozenTrial) -> dict[str, Any]:
    """Reads the parameters with which a trial was enqueued.

    Args:
        stored: A trial of a study.

    Returns:
        The parameters by name; empty for a trial that a sampler draws.
    """
    return dict(stored.system_attrs.get("fixed_params", {}))


def fewer_local_searches(sampler: GPSampler, count: int) -> None:
    """Bounds the time that a Gaussian process takes for a candidate.

    Args:
        sampler: The sampler.
        count: How many local searches it makes.
    """
    sampler._n_local_search = count


def engine_of(storage: RDBStorage) -> Engine:
    """Finds the SQLAlchemy engine of a database storage.

    Args:
        storage: The storage.

    Returns:
        Its engine.
    """
    return storage.engine
