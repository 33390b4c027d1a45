"""Measures many models several times each, until the repeats of a model agree.

The repeats of one model are far apart in time: all other models are measured between them. So whatever disturbs the
machine for a moment is over when the next repeat comes. What changes for longer, or from one process to the next, is
taken out by control networks. They are timed in turns with every group of models, which then count in units of them.
What disturbs a group in another way than its control networks is taken out by the repeats of its models in other
groups (`compress.latency.group_disturbances`).
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

from tqdm import tqdm

from compress.files.records import read_record, write_record
from compress.latency.busy_machine import Latency
from compress.latency.group_disturbances import group_disturbances
from compress.latency.target import Target
from search_spaces.errors import InputError

MAX_REPEATS = 4  # of a model whose repeats do not agree
SAVE_SECONDS = 5.0


@dataclass(frozen=True)
class Measurement:
    """One measurement of one model.

    Attributes:
        relative_time: Time of the model in units of the control networks; of the reference where there are none.
        control_time: Time of the control networks in units of the reference; 1 where there are none.
        spread: Of the runs: 90th less 10th percentile over the median.
    """

    relative_time: float
    control_time: float
    spread: float


@dataclass(frozen=True)
class MeasurementPlan:
    """How models are measured.

    Attributes:
        title: The title of the progress bar.
        seconds: Duration of one measurement of one model.
        group_size: Number of models that are timed in turns; on some targets more of them at a time are faster.
        tolerance: Two repeats agree when the slower takes at most this fraction longer.
        min_repeats: Number of repeats of every model.
    """

    title: str
    seconds: float
    group_size: int
    tolerance: float
    min_repeats: int = 2


def measure_repeatedly(
    target: Target,
    models: Mapping[str, Callable[[], bytes]],
    plan: MeasurementPlan,
    partial: Path | None = None,
    made_for: Mapping[str, Any] | None = None,
    control_networks: Sequence[bytes] = (),
) -> dict[str, list[Measurement]]:
    """Measures every model at least `plan.min_repeats` times, and those whose repeats disagree up to MAX_REPEATS times.

    Args:
        target: Where the models run.
        models: For each key a function that makes the content of a .tflite file.
        plan: How they are measured.
        partial: A file in which measurements are kept as they come. Those that it holds are not made again.
        made_for: What the measurements hold true of. A partial file made for something else is not used.
        control_networks: .tflite files that are timed in turns with every group of models.

    Returns:
        The measurements of each model, by its key. With control networks, the disturbances of groups are taken out.

    Raises:
        InputError: The target cannot be reached, or the partial file is damaged.
    """
    found = _read_partial(partial, made_for) if partial else {}
    group_size = plan.group_size if control_networks else max(plan.group_size, target.session_models)
    saved = time.monotonic()
    done = sum(min(plan.min_repeats, len(found.get(key, []))) for key in models)
    total = len(models) * plan.min_repeats
    with tqdm(total=total, initial=done, desc=plan.title, unit="measurement", dynamic_ncols=True) as bar:
        for repeat in range(1, MAX_REPEATS + 1):
            calm = _calm(found) if control_networks else found
            left = [key for key in models if needs_repeat(calm.get(key, []), repeat, plan)]
            if control_networks:
                random.Random(repeat).shuffle(left)  # each time in other groups
            bar.total += len(left) if repeat > plan.min_repeats else 0
            for at in range(0, len(left), group_size):
                keys = left[at : at + group_size]
                files = [*(models[key]() for key in keys), *control_networks]
                for key, one in zip(keys, _relative(target.measure_once(files, plan.seconds), len(keys)), strict=True):
                    found.setdefault(key, []).append(one)
                bar.update(len(keys))
                if partial and time.monotonic() - saved > SAVE_SECONDS:
                    _write_partial(partial, made_for, found)
                    saved = time.monotonic()
    if partial:
        _write_partial(partial, made_for, found)
    calm = _calm(found) if control_networks else found
    return {key: calm[key] for key in models}


def _calm(found: Mapping[str, Sequence[Measurement]]) -> dict[str, list[Measurement]]:
    """Measurements without the disturbances of groups. Those of a group have the same time of the control networks."""
    groups = {time: i for i, time in enumerate(sorted({one.control_time for made in found.values() for one in made}))}
    times = {key: [(groups[one.control_time], one.relative_time) for one in made] for key, made in found.items()}
    factors = group_disturbances(times, len(groups))
    return {
        key: [replace(one, relative_time=one.relative_time / factors[groups[one.control_time]]) for one in made]
        for key, made in found.items()
    }


def _relative(latencies: Sequence[Latency], models: int) -> list[Measurement]:
    """The first `models` of a group in units of the others, the control networks."""
    control = geometric_mean([one.relative for one in latencies[models:]] or [1.0])
    return [
        Measurement(one.relative / control, control, (one.p90_ms - one.p10_ms) / one.ms) for one in latencies[:models]
    ]


def _read_partial(path: Path, made_for: Mapping[str, Any] | None) -> dict[str, list[Measurement]]:
    """The measurements of a partial file; none when it is missing or made for something else."""
    if not path.exists():
        return {}
    remedy = "delete it and start the same command again, which then measures from the beginning"
    stored = read_record(path, remedy)
    try:
        if stored["made_for"] != made_for:
            return {}
        found = {key: [Measurement(**one) for one in made] for key, made in stored["measurements"].items()}
        if not all(
            one.relative_time > 0 < one.control_time and one.spread >= 0 for made in found.values() for one in made
        ):
            raise ValueError("a time that is not above zero")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: not a file of measurements ({type(error).__name__}: {error}); {remedy}") from error
    return found


def _write_partial(path: Path, made_for: Mapping[str, Any] | None, found: Mapping[str, Sequence[Measurement]]) -> None:
    measurements = {key: [asdict(one) for one in made] for key, made in found.items()}
    write_record(path, {"made_for": made_for, "measurements": measurements})


def needs_repeat(measurements: Sequence[Measurement], repeat: int, plan: MeasurementPlan) -> bool:
    """Whether a model still needs its measurement number `repeat`.

    Every model gets the least number of repeats. After that, a model needs another one until two of the faster half of
    its measurements agree: disturbances make a model slower, never faster.

    Args:
        measurements: Those of the model so far.
        repeat: From 1 on.
        plan: How models are measured.

    Returns:
        True when the measurement is to be made.
    """
    if len(measurements) >= repeat:
        return False
    ascending = sorted(one.relative_time for one in measurements)
    faster = ascending[: len(ascending) // 2 + 1]
    return repeat <= plan.min_repeats or not any(b <= a * (1 + plan.tolerance) for a, b in pairwise(faster))


def combine(measurements: Sequence[Measurement]) -> Measurement:
    """Combines the repeats of one model.

    Args:
        measurements: At least one.

    Returns:
        The median of each figure.
    """
    return Measurement(
        median(one.relative_time for one in measurements),
        median(one.control_time for one in measurements),
        median(one.spread for one in measurements),
    )


def median_control_time(found: Mapping[str, Sequence[Measurement]]) -> float:
    """The time of the control networks over all measurements.

    Args:
        found: The measurements of each model.

    Returns:
        The median, in units of the reference.
    """
    return median(one.control_time for made in found.values() for one in made)
