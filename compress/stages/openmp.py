"""How torch's threads wait for each other.

torch's OpenMP threads meet at the end of every op, and by default they spin there for long. That is fastest on an idle
machine. Beside one other busy process it takes 1.7 times as long (benchmarks/training_speed.md), because the spinning
thread keeps the core that the thread it waits for needs.
"""

import os
from collections.abc import MutableMapping

SPIN_COUNT = "GOMP_SPINCOUNT"
SPINS = "1000"  # some microseconds, then the thread sleeps
CHOSEN_BY = ("OMP_WAIT_POLICY", SPIN_COUNT)
CHOSEN_BY_PREFIX = "KMP_"  # Intel's and LLVM's OpenMP


def choose_waiting(environment: MutableMapping[str, str] = os.environ) -> None:
    """Has OpenMP threads sleep after a short spin, in this process and in those that it starts.

    OpenMP reads this when torch is first imported, so a command calls it before that. A value that the user has set
    wins.

    Args:
        environment: The environment variables, which are changed.
    """
    if not any(name in CHOSEN_BY or name.startswith(CHOSEN_BY_PREFIX) for name in environment):
        environment[SPIN_COUNT] = SPINS
