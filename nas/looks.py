"""Several short looks at many models, far apart in time, until they agree.

Whatever disturbs a machine for a moment is over when the next look at the same model comes, because all others have
theirs between.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tqdm import tqdm

from compress.run import write_json
from compress.target import Target

LEAST, MOST = 2, 4  # looks at every model; at one whose looks disagree
SAVE_SECONDS = 5.0

Look = dict[str, float]  # time in units of the reference; 90th less 10th percentile of the runs over the median


@dataclass(frozen=True)
class Plan:
    """`seconds` of a look, models timed in turns `together`, and by how much two looks may differ that `agree`."""

    title: str
    seconds: float
    together: int
    agree: float


def look(
    target: Target,
    models: Mapping[str, Callable[[], bytes]],
    plan: Plan,
    partial: Path | None = None,
    made_for: Mapping[str, Any] | None = None,
) -> dict[str, list[Look]]:
    """The looks at each model by its key. They are kept in `partial` as they come, and those it has of the same
    `made_for` are not made again."""
    found: dict[str, list[Look]] = {}
    if partial is not None and partial.exists():
        stored = json.loads(partial.read_text())
        found = stored["looks"] if stored["made_for"] == made_for else {}
    saved = time.monotonic()
    done = sum(min(LEAST, len(found.get(key, []))) for key in models)
    bar = tqdm(total=len(models) * LEAST, initial=done, desc=plan.title, unit="look", dynamic_ncols=True)
    for number in range(1, MOST + 1):
        left = [key for key in models if wants_another(found.get(key, []), number, plan.agree)]
        bar.total += len(left) if number > LEAST else 0
        for at in range(0, len(left), plan.together):
            keys = left[at : at + plan.together]
            for key, timed in zip(keys, target.measure([models[k]() for k in keys], plan.seconds), strict=True):
                spread = (timed.p90_ms - timed.p10_ms) / timed.ms
                found.setdefault(key, []).append({"references": timed.references, "spread": spread})
            bar.update(len(keys))
            if partial is not None and time.monotonic() - saved > SAVE_SECONDS:
                write_json(partial, {"made_for": made_for, "looks": found})
                saved = time.monotonic()
    if partial is not None:
        write_json(partial, {"made_for": made_for, "looks": found})
    bar.close()
    return {key: found[key] for key in models}


def wants_another(looks: Sequence[Look], number: int, agree: float) -> bool:
    """Whether a model has its `number`-th look to come: all have the first two, then those without two among the
    lower half that agree (what disturbs makes slower)."""
    if len(looks) >= number:
        return False
    ascending = sorted(one["references"] for one in looks)
    lower = ascending[: len(ascending) // 2 + 1]
    return number <= LEAST or not any(b <= a * (1 + agree) for a, b in pairwise(lower))


def settled(looks: Sequence[Look]) -> Look:
    """What the looks at a model say together: of three or more the lower middle one, of two their mean."""
    ascending = sorted(looks, key=lambda one: one["references"])
    if len(looks) == LEAST:
        return {name: sum(one[name] for one in looks) / LEAST for name in ascending[0]}
    return ascending[(len(looks) - 1) // 2]
