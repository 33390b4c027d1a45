"""python benchmarks/npus.py [--networks N] [--priced N] [--without-cpu]: the same networks on a CPU and on NPUs.

Random networks of the space, in the form that all targets take (argmax outside, steps of two), are measured on this
machine and priced by Vela for four NPUs. Prints the rank correlation (Spearman) of MACs with each latency, and of the
targets with one another. Then prices many candidates on all cores and prints how long that takes: by the clock, and in
CPU time of all processes, which other work on the machine changes little. benchmarks/npus.md has the tables.
"""

import argparse
import os
import random
import time
from collections.abc import Sequence
from dataclasses import replace

from scipy.stats import spearmanr

from compress.latency.npu import Npu
from compress.latency.npu_model import NpuModel
from compress.latency.targets import HostTarget
from compress.tflite.writer import random_weight_model
from search_spaces import costs, get_space
from search_spaces.ops import Graph
from search_spaces.trials import RandomTrial

NPUS = ("ethos-u55-128", "ethos-u55-256", "ethos-u65-512", "ethos-u85-512")
CLASSES, SIZE = 8, (512, 512)
FORM = Npu("ethos-u55-128").graph_form


def draw(count: int, seed: int) -> list[Graph]:
    """Draws networks.

    Args:
        count: How many.
        seed: The seed.

    Returns:
        The ops of each.
    """
    space, rng = get_space("deeplabv3plus"), random.Random(seed)
    return [space.graph(replace(space.sample(RandomTrial(rng), CLASSES, SIZE), **FORM)) for _ in range(count)]


def correlations(columns: dict[str, Sequence[float]]) -> str:
    """Makes a table of rank correlations.

    Args:
        columns: The figures of the networks, by name.

    Returns:
        Rows of a Markdown table.
    """
    rows = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, ours in columns.items():
        cells = (f"{spearmanr(ours, theirs).statistic:.2f}" for theirs in columns.values())
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def cpu_seconds() -> float:
    """The CPU time of this process and of those that it started and that have ended.

    Returns:
        Seconds.
    """
    return sum(os.times()[:4])


def main() -> None:
    """Prints the tables."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--networks", type=int, default=40, help="networks to compare (default: 40)")
    flags.add_argument("--priced", type=int, default=1000, help="candidates to price (default: 1000; 0 for none)")
    flags.add_argument("--without-cpu", action="store_true", help="measure nothing on this machine")
    given = flags.parse_args()
    graphs = draw(given.networks, 0)
    columns: dict[str, Sequence[float]] = {"MACs": [costs.macs(graph) for graph in graphs]}
    if not given.without_cpu:
        measured = HostTarget(1).measure([random_weight_model(graph) for graph in graphs], seconds=1.0)
        columns["CPU"] = [latency.ms for latency in measured]
    for name in NPUS:
        columns[name] = [price.latency_ms for price in NpuModel(Npu(name)).prices(graphs)]
    print("| network | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
    for at in range(min(8, len(graphs))):
        figures = (
            f"{values[at] / 1e6:.0f} M" if key == "MACs" else f"{values[at]:.1f} ms" for key, values in columns.items()
        )
        print(f"| {at} | " + " | ".join(figures) + " |")
    print("\nSpearman:\n\n" + correlations(columns))
    if given.priced:
        candidates = draw(given.priced, 1)
        begun, cpu_begun = time.monotonic(), cpu_seconds()
        NpuModel(Npu(NPUS[2])).prices(candidates)
        wall, cpu = time.monotonic() - begun, cpu_seconds() - cpu_begun
        print(f"\n{given.priced} candidates priced in {wall:.0f} s on {os.cpu_count()} cores, {cpu:.0f} s of CPU time")


if __name__ == "__main__":
    main()
