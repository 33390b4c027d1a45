"""Narrows a network channel by channel: groups of coupled channels are torch-pruning's (DepGraph, Fang et al. 2023)."""

from collections.abc import Callable, Iterator

import torch
import torch_pruning as tp
from torch import Tensor
from tqdm import tqdm

from compress.latency.table import LatencyTable
from compress.pruning.importances import IMPORTANCES, SQUARED, gradients, lost
from search_spaces import get_space
from search_spaces.errors import InputError
from search_spaces.genotype import CHANNEL_STEP, Genotype
from search_spaces.network import Network, layer_name
from search_spaces.widths import prunable_widths, with_widths

EXAMPLE = 64  # pixels a side of the input that the dependency graph is traced with
CUTS = (CHANNEL_STEP, 2 * CHANNEL_STEP, 4 * CHANNEL_STEP)  # kernels work on blocks: eight less alone may save nothing
CropLosses = Callable[[Network], Iterator[Tensor]]


def prune_to(
    network: Network, table: LatencyTable, target_ms: float, importance: str, losses: CropLosses | None = None
) -> Network:
    """A narrower network with the most important channels, predicted to take `target_ms` or less.

    `losses` yields training losses of a network; Taylor and Hessian importances need it. Raises InputError when
    eight channels everywhere are still too slow.
    """
    device = next(network.parameters()).device
    pruned = Network(network.genotype).to(device).eval()
    pruned.load_state_dict(network.state_dict())
    if importance in SQUARED:
        assert losses is not None
        gradients(pruned, losses(pruned), SQUARED[importance])
    graph = tp.DependencyGraph().build_dependency(pruned, torch.rand(1, 3, EXAMPLE, EXAMPLE, device=device))
    genotype = network.genotype
    now = start = table.predict(network.graph)
    bar = tqdm(total=round(max(0.0, start - target_ms), 2), desc="prune", unit="ms", dynamic_ncols=True)
    while now > target_ms:
        best = best_cut(pruned, graph, importance, genotype, table, now)
        if best is None:
            raise InputError(
                f"--target-ms {target_ms:g}: narrowed to the least it still takes {now:.2f} ms; ask for more"
            )
        name, channels, saved = best
        graph.get_pruning_group(_conv(pruned, name), tp.prune_conv_out_channels, channels).prune()
        genotype = _narrower(genotype, name, len(channels))
        now -= saved
        bar.update(round(min(saved, bar.total - bar.n), 4))
    bar.close()
    result = Network(genotype)
    result.load_state_dict(pruned.state_dict())
    return result.eval()


def best_cut(
    network: Network,
    graph: tp.DependencyGraph,
    importance: str,
    genotype: Genotype,
    table: LatencyTable,
    now: float,
) -> tuple[str, list[int], float] | None:
    """Where to take how many channels: the convolution, the channels, the ms saved. None when nothing is left."""
    best, best_value = None, 0.0
    scored = IMPORTANCES[importance]()
    space = get_space(genotype.space)
    for name, width in prunable_widths(genotype).items():
        saves = {cut: now - table.predict(space.graph(_narrower(genotype, name, cut))) for cut in CUTS if cut < width}
        if max(saves.values(), default=0.0) <= 0:
            continue
        every = list(range(width))
        scores = scored(graph.get_pruning_group(_conv(network, name), tp.prune_conv_out_channels, every))
        if scores is None:  # bn-scale has no opinion of layers without batch norm
            continue
        ascending = torch.argsort(scores)
        for cut, saved in saves.items():
            least = ascending[:cut]
            value = saved / lost(importance, scores, least)
            if value > best_value:
                best, best_value = (name, sorted(least.tolist()), saved), value
    return best


def _conv(network: Network, name: str) -> torch.nn.Conv2d:
    conv = network.get_submodule(f"layers.{layer_name(name)}.conv")
    assert isinstance(conv, torch.nn.Conv2d)
    return conv


def _narrower(genotype: Genotype, name: str, cut: int) -> Genotype:
    widths = prunable_widths(genotype)
    return with_widths(genotype, widths | {name: widths[name] - cut})
