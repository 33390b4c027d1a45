"""Channel pruning: removes the channels that save the most milliseconds for the importance they lose.

Channels go in eights, because kernels of phone runtimes work on blocks of eight. torch-pruning finds the groups of
layers whose channels must go together (DepGraph, Fang et al. 2023).
"""

from collections.abc import Callable, Iterator

import torch
import torch_pruning as tp
from torch import Tensor
from tqdm import tqdm

from compress.latency.latency_model import LatencyModel
from compress.pruning.importances import IMPORTANCES, SQUARED, lost_importance, set_mean_gradients
from search_spaces import get_space
from search_spaces.errors import InputError
from search_spaces.genotype import CHANNEL_STEP, Genotype
from search_spaces.network import Network, layer_name
from search_spaces.widths import prunable_widths, with_widths

TRACED_SIDE = 64  # pixels a side of the image that the dependency graph is traced with
CUTS = (CHANNEL_STEP, 2 * CHANNEL_STEP, 4 * CHANNEL_STEP)  # eight channels less may save nothing
CropLosses = Callable[[Network], Iterator[Tensor]]


def prune_to(
    network: Network, latencies: LatencyModel, target_ms: float, importance: str, losses: CropLosses | None = None
) -> Network:
    """Removes channels until a network is predicted to be fast enough.

    Args:
        network: The network, which is left as it is.
        latencies: Predicts latencies.
        target_ms: The latency to reach, in ms.
        importance: What a channel is worth; a key of IMPORTANCES.
        losses: Gives training losses of a network; Taylor and Hessian importances need it.

    Returns:
        A network with fewer channels and the weights of those that are left, in eval mode on the same device.

    Raises:
        InputError: The network is still too slow with eight channels everywhere, or its weights are not finite.
    """
    device = next(network.parameters()).device
    pruned = Network(network.genotype).to(device).eval()
    pruned.load_state_dict(network.state_dict())
    if importance in SQUARED:
        assert losses is not None
        set_mean_gradients(pruned, losses(pruned), SQUARED[importance])
    genotype = network.genotype
    traced = torch.rand(1, genotype.bands, TRACED_SIDE, TRACED_SIDE, device=device)
    graph = tp.DependencyGraph().build_dependency(pruned, traced)
    now = start = latencies.predict(network.graph)
    bar = tqdm(total=round(max(0.0, start - target_ms), 2), desc="prune", unit="ms", dynamic_ncols=True)
    while now > target_ms:
        best = best_cut(pruned, graph, importance, genotype, latencies, now)
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
    latencies: LatencyModel,
    now: float,
) -> tuple[str, list[int], float] | None:
    """Finds the channels whose removal saves the most ms for the importance lost.

    Args:
        network: The network as pruned so far.
        graph: Its dependency graph.
        importance: What a channel is worth.
        genotype: The network's genotype.
        latencies: Predicts latencies.
        now: The network's predicted latency in ms.

    Returns:
        The convolution, the places of its channels and the ms saved; None when no cut saves anything.
    """
    best, best_value = None, 0.0
    scored = IMPORTANCES[importance]()
    space = get_space(genotype.space)
    for name, width in prunable_widths(genotype).items():
        saves = {
            cut: now - latencies.predict(space.graph(_narrower(genotype, name, cut))) for cut in CUTS if cut < width
        }
        if max(saves.values(), default=0.0) <= 0:
            continue
        every = list(range(width))
        scores = scored(graph.get_pruning_group(_conv(network, name), tp.prune_conv_out_channels, every))
        if scores is None:  # bn-scale has no opinion of layers without batch norm
            continue
        if not bool(torch.isfinite(scores).all()):
            raise InputError(f"--importance {importance}: that of {name} is not finite; take l2, or train again")
        ascending = torch.argsort(scores)
        for cut, saved in saves.items():
            least = ascending[:cut]
            value = saved / lost_importance(importance, scores, least)
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
