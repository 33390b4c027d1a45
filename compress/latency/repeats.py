"""Several short looks at many models, far apart in time, until they agree.

Whatever disturbs a machine for a moment is over when the next measurement of the same model comes: all others have
theirs between. What changes for longer, or from one process to the next, is taken out by yardsticks: models that are
timed in turns with every group of others, which then count in units of them.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

from tqdm import tqdm

from compress.files.records import write_json
from compress.latency.targets import Target

MOST = 4  # looks at a model whose looks disagree
SAVE_SECONDS = 5.0

# `unit` in units of the reference (1 without yardsticks), time in such units, 90th less 10th percentile of the runs
# over their median
Measurement = dict[str, float]


@dataclass(frozen=True)
class MeasurementPlan:
    """`seconds` of a measurement, models timed in turns `together`, by how much two may differ that `agree`, and how
    many looks every model has at `least`."""

    title: str
    seconds: float
    together: int
    agree: float
    least: int = 2


def measure_repeatedly(
    target: Target,
    models: Mapping[str, Callable[[], bytes]],
    plan: MeasurementPlan,
    partial: Path | None = None,
    made_for: Mapping[str, Any] | None = None,
    yardsticks: Sequence[bytes] = (),
) -> dict[str, list[Measurement]]:
    """The looks at each model by its key. They are kept in `partial` as they come, and those it has of the same
    `made_for` are not made again."""
    found: dict[str, list[Measurement]] = {}
    if partial is not None and partial.exists():
        stored = json.loads(partial.read_text())
        found = stored["looks"] if stored["made_for"] == made_for else {}
    saved = time.monotonic()
    done = sum(min(plan.least, len(found.get(key, []))) for key in models)
    bar = tqdm(total=len(models) * plan.least, initial=done, desc=plan.title, unit="look", dynamic_ncols=True)
    for number in range(1, MOST + 1):
        left = [key for key in models if wants_another(found.get(key, []), number, plan)]
        bar.total += len(left) if number > plan.least else 0
        for at in range(0, len(left), plan.together):
            keys = left[at : at + plan.together]
            latencies = target.measure([*(models[k]() for k in keys), *yardsticks], plan.seconds)
            unit = geometric_mean([one.references for one in latencies[len(keys) :]] or [1.0])
            for key, one in zip(keys, latencies, strict=False):
                spread = (one.p90_ms - one.p10_ms) / one.ms
                found.setdefault(key, []).append({"units": one.references / unit, "unit": unit, "spread": spread})
            bar.update(len(keys))
            if partial is not None and time.monotonic() - saved > SAVE_SECONDS:
                write_json(partial, {"made_for": made_for, "looks": found})
                saved = time.monotonic()
    if partial is not None:
        write_json(partial, {"made_for": made_for, "looks": found})
    bar.close()
    return {key: found[key] for key in models}


def wants_another(looks: Sequence[Measurement], number: int, plan: MeasurementPlan) -> bool:
    """Whether a model has its `number`-th measurement to come: all have the least number, then those without two of the
    lower half that agree (what disturbs makes slower)."""
    if len(looks) >= number:
        return False
    ascending = sorted(one["units"] for one in looks)
    lower = ascending[: len(ascending) // 2 + 1]
    return number <= plan.least or not any(b <= a * (1 + plan.agree) for a, b in pairwise(lower))


def combine(looks: Sequence[Measurement]) -> Measurement:
    """What the looks at a model say together: their medians."""
    return {name: median(one[name] for one in looks) for name in looks[0]}
