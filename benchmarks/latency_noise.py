"""python benchmarks/latency_noise.py: how far one network's latency moves on this machine, plain and corrected.

Times the same network again and again: first alone on the machine, then beside a process on every core that multiplies
matrices in bursts. Prints how far the plain median moved, and how far the one that is corrected by the reference.
"""

import multiprocessing
import random
import statistics
import time

import numpy as np

from compress.latency.busy_machine import Latency
from compress.latency.targets import HostTarget
from compress.tflite.writer import random_weight_model
from search_spaces import deeplabv3plus
from search_spaces.trials import RandomTrial

REPEATS, SECONDS = 20, 1.5


def bursts() -> None:
    """Multiplies matrices in bursts, for ever."""
    rng = random.Random(0)
    square = np.ones((700, 700), np.float32)
    while True:
        until = time.monotonic() + rng.uniform(0.2, 3)
        while time.monotonic() < until:
            square @ square
        time.sleep(rng.uniform(0.2, 3))


def row(name: str, found: list[Latency]) -> str:
    """One row of the table.

    Args:
        name: Its first cell.
        found: Repeated latencies of one network.

    Returns:
        Markdown.
    """
    cells = []
    for values in ([f.raw_ms for f in found], [f.ms for f in found]):
        moved = max(values) / min(values) - 1
        cells.append(f"{statistics.median(values):.2f} | {min(values):.2f} to {max(values):.2f} | {moved:.1%}")
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Measures a network alone and beside other work, and prints the table."""
    model = random_weight_model(deeplabv3plus.graph(deeplabv3plus.sample(RandomTrial(random.Random(5)), 8, (256, 256))))
    target = HostTarget()
    alone = [target.measure_once([model], SECONDS)[0] for _ in range(REPEATS)]
    others = [multiprocessing.Process(target=bursts, daemon=True) for _ in range(multiprocessing.cpu_count())]
    for other in others:
        other.start()
    beside = [target.measure_once([model], SECONDS)[0] for _ in range(REPEATS)]
    for other in others:
        other.terminate()
    facts = target.facts()
    print(f"{facts['processor']}, {facts['runtime']}, {time.strftime('%Y-%m-%d')}")
    print(f"{REPEATS} medians of {SECONDS} s each, in ms\n")
    print("| | plain median | range | moved | corrected median | range | moved |")
    print("|---|---|---|---|---|---|---|")
    print(row("alone", alone))
    print(row("beside other work", beside))


if __name__ == "__main__":
    main()
