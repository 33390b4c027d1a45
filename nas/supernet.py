"""A weight-sharing supernet: `forward(x, genotype)` slices the shared weights; no state says which subnet is active.

Training follows the sandwich rule with in-place distillation (BigNAS, Yu et al. 2020): each step trains a large
subnet on the labels, and the smallest and a random one on labels and the large one's output.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
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
from search_spaces.network import ConvBNAct, Network, layer_name
from search_spaces.ops import CONCAT, CONV, INPUT, Graph, Op
from search_spaces.trials import Choice, LargestTrial

Segments = tuple[tuple[int, int], ...]  # (start, length) runs of the shared channels that a value holds


class Supernet(nn.Module):
    """The weights that all networks of a space share.

    They are the weights of the largest network. A subnet uses the leading channels of each layer, the centre of each
    kernel and the leading blocks of each stage. Layers that the largest network does not have come from `others`.

    Args:
        largest: The largest network.
        others: Networks with further layers (`largest_networks`).
    """

    def __init__(self, largest: Genotype, *others: Genotype) -> None:
        super().__init__()
        self.shared = Network(largest)
        self.graphs = tuple(map(graph_of, (largest, *others)))
        for network in map(Network, others):
            self.shared.layers.update({name: m for name, m in network.layers.items() if name not in self.shared.layers})

    def forward(self, x: Tensor, genotype: Genotype) -> Tensor:
        """Runs one subnet.

        Args:
            x: N,bands,h,w images in 0..1.
            genotype: The subnet.

        Returns:
            N,classes,h',w' logits.
        """
        subnet = Subnet(genotype).train(self.training)
        logits: Tensor = functional_call(subnet, self.sliced(genotype), (x,))
        return logits

    def sliced(self, genotype: Genotype) -> dict[str, Tensor]:
        """Slices the weights of a subnet out of the shared ones.

        Args:
            genotype: The subnet.

        Returns:
            Its parameters and buffers by name: views of the shared ones, and copies where a concat splits them.
        """
        graph = graph_of(genotype)
        segments = shared_channels(graph, self.graphs)
        shared = self.shared.state_dict(keep_vars=True)
        return {name: value for op in graph if op.has_weights for name, value in _slice(op, segments, shared)}


class Subnet(Network):
    """A network without weights of its own, for `torch.func.functional_call`.

    Modules take long to make, so networks share those of equal layers.

    Args:
        genotype: The network.
    """

    def __init__(self, genotype: Genotype) -> None:
        nn.Module.__init__(self)
        self.genotype = genotype
        self.graph = graph_of(genotype)
        layers = {
            layer_name(op.name): _layer_without_weights(_without_sizes(op)) for op in self.graph if op.has_weights
        }
        self.layers = nn.ModuleDict(layers)


def _without_sizes(op: Op) -> Op:
    """The op without what its module does not depend on. The channels of a dense convolution are those of its weights.

    The name stays, because one network must not hold a module twice.
    """
    channels = 1 if op.kind == CONV else op.shape[2]
    return op._replace(inputs=(), in_shapes=((1, 1, channels),), shape=(1, 1, channels))


@lru_cache(maxsize=8192)
def _layer_without_weights(op: Op) -> ConvBNAct:
    with torch.device("meta"):
        return ConvBNAct(op)


def _slice(op: Op, segments: dict[str, Segments], shared: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    prefix = f"layers.{layer_name(op.name)}."
    out = segments[op.name]
    weight = shared[prefix + "conv.weight"]
    margin = (weight.shape[-1] - op.kernel) // 2
    weight = weight[..., margin : margin + op.kernel, margin : margin + op.kernel]
    weight = join_segments(weight, out, 0)
    yield prefix + "conv.weight", join_segments(weight, segments[op.inputs[0]], 1) if op.kind == CONV else weight
    for name in ("conv.bias", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"):
        if prefix + name in shared:
            yield prefix + name, join_segments(shared[prefix + name], out, 0)
    if prefix + "bn.num_batches_tracked" in shared:
        yield prefix + "bn.num_batches_tracked", shared[prefix + "bn.num_batches_tracked"]


def join_segments(tensor: Tensor, segments: Segments, dim: int) -> Tensor:
    """Joins some channels of a tensor.

    Args:
        tensor: The tensor.
        segments: Start and length of each run of channels.
        dim: The dimension of the channels.

    Returns:
        The channels of all segments, in their order.
    """
    parts = [tensor.narrow(dim, start, length) for start, length in segments]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


class LargestTrialBut(LargestTrial):
    """Draws the largest network with one other choice.

    Args:
        name: The parameter with another choice.
        value: That choice.

    Attributes:
        choices: All parameters that were drawn, with each of their other choices.
    """

    def __init__(self, name: str = "", value: object = None) -> None:
        self.name, self.value = name, value
        self.choices: list[tuple[str, object]] = []

    def suggest_categorical(self, name: str, choices: Sequence[Choice]) -> Choice:
        """Chooses the last value, or the other choice of its parameter.

        Args:
            name: The parameter.
            choices: Its values.

        Returns:
            The value.
        """
        self.choices += [(name, choice) for choice in choices[:-1]]
        return next((choice for choice in choices if name == self.name and choice == self.value), choices[-1])


def largest_networks(space: Space, classes: int, input_size: tuple[int, int]) -> list[Genotype]:
    """Finds networks that together have every layer of every network of a space.

    They are the largest network, and those that differ from it in one choice and so have layers that it has not, such
    as a depthwise convolution in place of a dense one.

    Args:
        space: The space.
        classes: The number of classes.
        input_size: Height and width of the input, pixels.

    Returns:
        The networks, the largest first.
    """
    trial = LargestTrialBut()
    found = [space.sample(trial, classes, input_size)]
    layers = {op.name for op in space.graph(found[0]) if op.has_weights}
    for name, value in trial.choices:
        other = space.sample(LargestTrialBut(name, value), classes, input_size)
        new = {op.name for op in space.graph(other) if op.has_weights} - layers
        found += [other] if new else []
        layers |= new
    return found


def shared_channels(graph: Graph, largest: Sequence[Graph]) -> dict[str, Segments]:
    """Finds the channels of the shared values that a subnet's values hold.

    Args:
        graph: The ops of the subnet.
        largest: The ops of the networks that have all layers (`largest_networks`).

    Returns:
        For every value of the subnet, by the name of its op, runs of channels of the shared value of that name.
    """
    offsets: dict[str, int] = {}
    for op in chain.from_iterable(largest):
        if op.kind == CONCAT:
            start = 0
            for name, shape in zip(op.inputs, op.in_shapes, strict=True):
                offsets[name] = start
                start += shape[2]
    held: dict[str, Segments] = {INPUT: ((0, graph[0].in_shapes[0][2]),)}
    for op in graph:
        if op.kind == CONV:
            held[op.name] = ((0, op.shape[2]),)
        elif op.kind == CONCAT:
            held[op.name] = tuple((offsets[x] + start, length) for x in op.inputs for start, length in held[x])
        else:
            held[op.name] = held[op.inputs[0]]
    return held


def extract(supernet: Supernet, genotype: Genotype) -> Network:
    """Makes a subnet a network of its own. In eval mode, with equal BN statistics, it equals `supernet(x, genotype)`.

    Args:
        supernet: The supernet.
        genotype: The subnet.

    Returns:
        The network, with copies of the weights.
    """
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
