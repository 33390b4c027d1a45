"""The private interfaces of Optuna that the search uses, each behind a function.

docs/private_interfaces.md lists those of all libraries, with the versions they were tried with.
`tests/test_private_interfaces.py` fails when one changes.
"""

import json
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


def params_drawn_by_gp(stored: FrozenTrial) -> dict[str, Any]:
    """Reads the parameters that a Gaussian process has drawn together for a trial.

    Args:
        stored: A trial of a study.

    Returns:
        The parameters by name; empty for a trial for which none were drawn so.
    """
    parts: list[str] = []
    while part := stored.system_attrs.get(f"gp:relative_params:{len(parts)}"):
        parts.append(part)
    return json.loads("".join(parts)) if parts else {}


def engine_of(storage: RDBStorage) -> Engine:
    """Finds the SQLAlchemy engine of a database storage.

    Args:
        storage: The storage.

    Returns:
        Its engine.
    """
    return storage.engine
