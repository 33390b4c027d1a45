"""A weight-sharing supernet: `forward(x, genotype)` slices the shared weights; no state says which subnet is active.

Training follows the sandwich rule with in-place distillation (BigNAS, Yu et al. 2020): each step trains a large
subnet on the labels, and the smallest and a random one on labels and the large one's output.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from torch.func import functional_call

from compress.data.resizing import at_scale
from compress.distillation.losses import distillation
from compress.training.label_losses import LabelLoss
from compress.training.loop import StepLosses, autocast
from search_spaces import Space, graph_of
from search_spaces.genotype import Genotype
from search_spaces.network import Network, layer_name
from search_spaces.ops import CONCAT, CONV, INPUT, Graph, Op
from search_spaces.trials import Choice, LargestTrial

Segments = tuple[tuple[int, int], ...]  # (start, length) runs of the shared channels that a value holds


class Supernet(nn.Module):
    """The largest network's weights; every subnet uses the leading channels, the centre of each kernel and the
    leading blocks of each stage. Layers that the largest network does not have come from `others`
    (`largest_networks`)."""

    def __init__(self, largest: Genotype, *others: Genotype) -> None:
        super().__init__()
        self.shared = Network(largest)
        self.graphs = tuple(map(graph_of, (largest, *others)))
        for network in map(Network, others):
            self.shared.layers.update({name: m for name, m in network.layers.items() if name not in self.shared.layers})

    def forward(self, x: Tensor, genotype: Genotype) -> Tensor:
        """N,3,h,w images in 0..1 to N,classes,h',w' logits of one subnet."""
        with torch.device("meta"):
            subnet = Network(genotype)
        subnet.train(self.training)
        logits: Tensor = functional_call(subnet, self.sliced(genotype), (x,))
        return logits

    def sliced(self, genotype: Genotype) -> dict[str, Tensor]:
        """A subnet's parameters and buffers as views of the shared ones (copies where a concat splits them)."""
        graph = graph_of(genotype)
        segments = shared_channels(graph, self.graphs)
        shared = self.shared.state_dict(keep_vars=True)
        return {name: value for op in graph if op.has_weights for name, value in _slice(op, segments, shared)}


def _slice(op: Op, segments: dict[str, Segments], shared: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    prefix = f"layers.{layer_name(op.name)}."
    out = segments[op.name]
    weight = shared[prefix + "conv.weight"]
    margin = (weight.shape[-1] - op.kernel) // 2
    weight = weight[..., margin : margin + op.kernel, margin : margin + op.kernel]
    weight = take(weight, out, 0)
    yield prefix + "conv.weight", take(weight, segments[op.inputs[0]], 1) if op.kind == CONV else weight
    for name in ("conv.bias", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"):
        if prefix + name in shared:
            yield prefix + name, take(shared[prefix + name], out, 0)
    if prefix + "bn.num_batches_tracked" in shared:
        yield prefix + "bn.num_batches_tracked", shared[prefix + "bn.num_batches_tracked"]


def take(tensor: Tensor, segments: Segments, dim: int) -> Tensor:
    """The segments along a dimension, joined."""
    parts = [tensor.narrow(dim, start, length) for start, length in segments]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


class LargestBut(LargestTrial):
    """The largest network, save for one choice. `choices` keeps all that there were."""

    def __init__(self, name: str = "", value: object = None) -> None:
        self.name, self.value = name, value
        self.choices: list[tuple[str, object]] = []

    def suggest_categorical(self, name: str, choices: Sequence[Choice]) -> Choice:
        self.choices += [(name, choice) for choice in choices[:-1]]
        return next((choice for choice in choices if name == self.name and choice == self.value), choices[-1])


def largest_networks(space: Space, classes: int, input_size: tuple[int, int]) -> list[Genotype]:
    """The largest network of a space and those that differ from it in one choice and so have layers it has not (a
    depthwise convolution instead of a dense one): together they have every layer of every network."""
    trial = LargestBut()
    found = [space.sample(trial, classes, input_size)]
    layers = {op.name for op in space.graph(found[0]) if op.has_weights}
    for name, value in trial.choices:
        other = space.sample(LargestBut(name, value), classes, input_size)
        new = {op.name for op in space.graph(other) if op.has_weights} - layers
        found += [other] if new else []
        layers |= new
    return found


def shared_channels(graph: Graph, largest: Sequence[Graph]) -> dict[str, Segments]:
    """For every value of a subnet's graph, which channels of the largest networks' value of that name it holds."""
    offsets: dict[str, int] = {}
    for op in chain.from_iterable(largest):
        if op.kind == CONCAT:
            start = 0
            for name, shape in zip(op.inputs, op.in_shapes, strict=True):
                offsets[name] = start
                start += shape[2]
    held: dict[str, Segments] = {INPUT: ((0, 3),)}
    for op in graph:
        if op.kind == CONV:
            held[op.name] = ((0, op.shape[2]),)
        elif op.kind == CONCAT:
            held[op.name] = tuple((offsets[x] + start, length) for x in op.inputs for start, length in held[x])
        else:
            held[op.name] = held[op.inputs[0]]
    return held


def extract(supernet: Supernet, genotype: Genotype) -> Network:
    """The subnet as a network of its own: in eval mode with these BN statistics it equals `supernet(x, genotype)`."""
    network = Network(genotype).to(next(supernet.parameters()).device)
    network.load_state_dict(supernet.sliced(genotype))
    return network.train(supernet.training)


def sandwich(
    supernet: Supernet,
    draw: Callable[[int], Sequence[Genotype]],
    input_size: tuple[int, int],
    label_loss: LabelLoss,
) -> StepLosses:
    """The losses of a supernet's training by the sandwich rule (BigNAS, Yu et al. 2020).

    Args:
        supernet: The supernet.
        draw: Gives the subnets of a step, counted from 0, the large one first.
        input_size: The run's input size (H, W) in pixels.
        label_loss: The loss on the labels.

    Returns:
        The losses for `compress.training.loop.fit`: one for each subnet.
    """

    def losses(images: Tensor, masks: Tensor, step: int) -> Iterator[Tensor]:
        large, *others = draw(step)
        with autocast(images.device):
            logits = supernet(at_scale(images, large.resolution, input_size), large).float()
        teacher = logits.detach()
        yield label_loss(logits, masks)
        for genotype in others:
            with autocast(images.device):
                logits = supernet(at_scale(images, genotype.resolution, input_size), genotype).float()
            yield label_loss(logits, masks) + distillation(logits, teacher)

    return losses
