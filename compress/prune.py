"""python -m compress.prune RUN [--target-ms MS]: narrows the trained network until the table says it is fast enough.

Channels go eight at a time, each time where the milliseconds saved per importance lost are most. Groups of
coupled channels and their importance (L2 norm over every layer that loses a slice) are torch-pruning's
(DepGraph, Fang et al. 2023). The result is a narrower genotype and plain weights.
"""

import time
from pathlib import Path

import torch
import torch_pruning as tp
from tqdm import tqdm

from compress.cli import parser, run_command
from compress.stage import Run, before, open_run, record_network, require
from compress.train import fit_network
from search_spaces import get_space
from search_spaces.errors import InputError
from search_spaces.genotype import CHANNEL_STEP, Genotype
from search_spaces.latency_table import LatencyTable
from search_spaces.network import Network, layer_name

KEPT = 0.9  # of the trained network's latency, unless --target-ms says otherwise
EXAMPLE = 64  # pixels a side of the input that the dependency graph is traced with


def prune(run: Run, target_ms: float | None = None) -> None:
    begun = time.monotonic()
    folder = run.path / "prune"
    network = run.network("train")
    predicted = run.table.predict(network.graph)
    goal = min(run.settings.budget_ms, KEPT * predicted) if target_ms is None else target_ms
    narrow = prune_to(network, run.table, goal)
    fit_network(run, narrow, run.settings.schedules.recover, folder, "prune: recovery", seed=3)
    record_network(run, "prune", narrow, begun, target_ms=goal)
    (folder / "checkpoint.pt").unlink(missing_ok=True)


def prune_to(network: Network, table: LatencyTable, target_ms: float) -> Network:
    """A narrower network with the most important channels, predicted to take `target_ms` or less.

    Raises InputError when eight channels everywhere are still too slow.
    """
    pruned = Network(network.genotype)
    pruned.load_state_dict(network.state_dict())
    graph = tp.DependencyGraph().build_dependency(pruned, torch.rand(1, 3, EXAMPLE, EXAMPLE))
    importance = tp.importance.GroupMagnitudeImportance(p=2, group_reduction="mean", normalizer="mean")
    genotype = network.genotype
    now = start = table.predict(network.graph)
    bar = tqdm(total=round(start - target_ms, 2), desc="prune", unit="ms", dynamic_ncols=True)
    while now > target_ms:
        best = best_cut(pruned, graph, importance, genotype, table, now)
        if best is None:
            raise InputError(
                f"--target-ms {target_ms:g}: narrowed to the least it still takes {now:.2f} ms; ask for more"
            )
        name, channels, saved = best
        graph.get_pruning_group(_conv(pruned, name), tp.prune_conv_out_channels, channels).prune()
        genotype = _narrower(genotype, name)
        now -= saved
        bar.update(round(min(saved, bar.total - bar.n), 4))
    bar.close()
    result = Network(genotype)
    result.load_state_dict(pruned.state_dict())
    return result.eval()


def best_cut(
    network: Network,
    graph: tp.DependencyGraph,
    importance: tp.importance.Importance,
    genotype: Genotype,
    table: LatencyTable,
    now: float,
) -> tuple[str, list[int], float] | None:
    """Where to take eight channels: the convolution, the channels, the ms saved. None when nothing is left."""
    best, best_value = None, 0.0
    for name, width in get_space(genotype.space).widths(genotype).items():
        if width <= CHANNEL_STEP:
            continue
        space = get_space(genotype.space)
        saved = now - table.predict(space.graph(_narrower(genotype, name)))
        if saved <= 0:
            continue
        every = list(range(width))
        scores = importance(graph.get_pruning_group(_conv(network, name), tp.prune_conv_out_channels, every))
        least = torch.argsort(scores)[:CHANNEL_STEP]
        value = saved / float(scores[least].sum().clamp_min(1e-9))
        if value > best_value:
            best, best_value = (name, sorted(least.tolist()), saved), value
    return best


def _conv(network: Network, name: str) -> torch.nn.Conv2d:
    conv = network.get_submodule(f"layers.{layer_name(name)}.conv")
    assert isinstance(conv, torch.nn.Conv2d)
    return conv


def _narrower(genotype: Genotype, name: str) -> Genotype:
    space = get_space(genotype.space)
    widths = space.widths(genotype)
    return space.with_widths(genotype, widths | {name: widths[name] - CHANNEL_STEP})


def main() -> None:
    arguments = parser(__doc__, "compress.prune")
    arguments.add_argument("run", type=Path, metavar="RUN", help="a run folder, such as runs/landcover-30ms")
    arguments.add_argument("--target-ms", type=float, help=f"predicted latency to reach (default: {KEPT} of now)")
    given = arguments.parse_args()
    if given.target_ms is not None and not given.target_ms > 0:
        raise InputError(f"--target-ms {given.target_ms:g}: give a positive number of milliseconds")
    run = open_run(given.run)
    require(run, before("prune"))
    prune(run, given.target_ms)


if __name__ == "__main__":
    run_command(main)
