"""How long a model takes from the file to its first answer on this machine."""

import statistics
import time
from collections.abc import Sequence

from compress.latency.timing import load, pinned

COLD_STARTS = 5


def cold_start_ms(model: bytes, threads: int, cores: Sequence[int]) -> float:
    """Loads a model into new interpreters and runs each once.

    The runtime library is in memory already: an app pays for loading it once more, and for reading the file.

    Args:
        model: The content of a .tflite file.
        threads: Threads of the runtime.
        cores: The numbers of the cores to run on.

    Returns:
        The median time of loading and the first run, in ms.
    """
    taken = []
    with pinned(cores):
        for _ in range(COLD_STARTS):
            begun = time.perf_counter()
            load(model, threads).invoke()
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1e3
