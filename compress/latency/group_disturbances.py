"""Tells how much a whole group of networks was disturbed while it was measured.

Networks are timed in turns, a group at a time. What disturbs the machine meanwhile slows all networks of the group, but
the control networks beside them more or less than these. With one thread a whole group was so measured 3 % off, with
two threads up to 20 %. Each repeat puts a network into another group. So the disturbances of the groups can be told
from the times of the networks: the logarithm of a measured time is that of the network plus that of its group, by least
squares. The control networks together count as one network whose time is known.
"""

from collections.abc import Mapping, Sequence
from math import log

import numpy as np


def group_disturbances(measured: Mapping[str, Sequence[tuple[int, float]]], groups: int) -> list[float]:
    """How many times as long the networks of each group took, beside their control networks.

    Args:
        measured: For each network its measurements: the number of the group, and the time in units of the control
            networks.
        groups: How many groups there are.

    Returns:
        A factor for each group; 1 where the control networks tell all of the disturbance.
    """
    rows = [(at, group, log(time)) for at, made in enumerate(measured.values()) for group, time in made]
    equations = np.zeros((len(rows) + groups, len(measured) + groups))
    wanted = np.zeros(len(equations))
    for row, (at, group, logarithm) in enumerate(rows):
        equations[row, at] = equations[row, len(measured) + group] = 1.0
        wanted[row] = logarithm
    for group in range(groups):
        equations[len(rows) + group, len(measured) + group] = 1.0
    solution = np.linalg.lstsq(equations, wanted, rcond=None)[0]
    return [float(factor) for factor in np.exp(solution[len(measured) :])]
