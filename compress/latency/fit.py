"""Fits how the sums over single ops join to the latency of whole networks."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import nnls

from compress.latency.table import GROUPS, LatencyTable

SHRINK = 0.03  # pulls each factor towards 1, so that a group that is rarely seen stays sane
UNFITTED = {"intercept": 0.0, **dict.fromkeys(GROUPS, 1.0)}  # the plain sum


def fit(sums: Sequence[dict[str, float]], totals: Sequence[float]) -> dict[str, float]:
    """Least squares of relative errors, none of the coefficients below zero. With negative ones, a table that was built
    on a busy machine could predict less than no time for the smallest networks.

    Args:
        sums: For each network the sums over its ops in ms, by group.
        totals: For each network its measured latency in ms.

    Returns:
        `intercept` in ms and a factor for each of GROUPS.
    """
    rows = [[1.0, *(s[g] for g in GROUPS)] for s in sums]
    weighted = [[value / total for value in row] for row, total in zip(rows, totals, strict=True)]
    pull = np.eye(len(GROUPS) + 1) * SHRINK * len(totals) ** 0.5
    pulled = np.array([0.0, *([SHRINK * len(totals) ** 0.5] * len(GROUPS))])
    solution, _ = nnls(np.vstack([weighted, pull]), np.concatenate([np.ones(len(totals)), pulled]))
    intercept, *factors = map(float, solution)
    return {"intercept": intercept, **dict(zip(GROUPS, factors, strict=True))}


def residuals_of(table: LatencyTable, sums: Sequence[dict[str, float]], totals: Sequence[float]) -> dict[str, float]:
    """How far predictions are off on networks that were not fitted.

    Args:
        table: The fitted table.
        sums: For each network the sums over its ops in ms, by group.
        totals: For each network its measured latency in ms.

    Returns:
        `models` (how many), `rmspe` and `worst`, both as fractions.
    """
    errors = [table.join(s) / t - 1 for s, t in zip(sums, totals, strict=True)]
    return {
        "models": float(len(errors)),
        "rmspe": float(np.sqrt(np.mean(np.square(errors)))),
        "worst": float(np.max(np.abs(errors))),
    }
