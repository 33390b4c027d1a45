"""Runs the backbone of a network op by op on all images, so that an op may be changed before the next one sees it."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from search_spaces.backbone import is_backbone
from search_spaces.network import ConvBNAct, Network, layer_name
from search_spaces.ops import INPUT, Graph, Op


def backbone_ops(graph: Graph) -> Graph:
    """Lists the ops of the backbone.

    Args:
        graph: The ops of a network.

    Returns:
        Those of its stem and its stages, in order.
    """
    return tuple(op for op in graph if is_backbone(op.name))


def layer_of(network: Network, name: str) -> ConvBNAct:
    """Finds the layer of an op.

    Args:
        network: The network.
        name: The name of a convolution.

    Returns:
        The layer.
    """
    layer = network.layers[layer_name(name)]
    assert isinstance(layer, ConvBNAct)
    return layer


class Sweep:
    """One pass of images through a backbone, all images at an op before the next op.

    The network is put into eval mode. Values that no later op reads are dropped.

    Args:
        network: The network.
        batches: N,bands,h,w images in 0..1.

    Attributes:
        network: The network.
        values: For each value, by name, its N,C,h,w part of each batch.
    """

    def __init__(self, network: Network, batches: list[Tensor]) -> None:
        self.network = network.eval()
        self.values: dict[str, list[Tensor]] = {INPUT: batches}

    def ops(self) -> Iterator[Op]:
        """Goes through the ops of the backbone. The caller runs each of them with `run` before it asks for the next.

        Yields:
            The ops, in order.
        """
        ops = backbone_ops(self.network.graph)
        last_reader = {name: i for i, op in enumerate(ops) for name in op.inputs}
        for i, op in enumerate(ops):
            yield op
            self.values = {name: held for name, held in self.values.items() if last_reader.get(name, -1) > i}

    @torch.no_grad()
    def run(self, op: Op, calibrate_from: int | None = None) -> list[Tensor]:
        """Runs an op on all batches.

        Args:
            op: The op that `ops` gave last.
            calibrate_from: The first channel whose BN statistics become those of these images; None for no channel.

        Returns:
            Its N,C,h,w output for each batch.
        """
        inputs = [dict(zip(op.inputs, parts, strict=True)) for parts in zip(*map(self._input, op.inputs), strict=True)]
        if op.has_weights and op.norm and calibrate_from is not None:
            layer = layer_of(self.network, op.name)
            convolved = [layer.convolve(part[op.inputs[0]]) for part in inputs]
            if calibrate_from < op.shape[2]:
                set_statistics(layer, convolved, calibrate_from)
            outputs = [layer.normalize(part) for part in convolved]
        else:
            outputs = [self.network.run(op, part) for part in inputs]
        self.values[op.name] = outputs
        return outputs

    def _input(self, name: str) -> list[Tensor]:
        return self.values[name]


def set_statistics(layer: ConvBNAct, convolved: list[Tensor], start: int = 0) -> None:
    """Sets BN statistics to the mean and the variance over all images.

    Args:
        layer: The layer.
        convolved: The N,C,h,w outputs of its convolution.
        start: The first channel that is set.
    """
    assert isinstance(layer.bn, nn.BatchNorm2d)
    assert layer.bn.running_mean is not None and layer.bn.running_var is not None
    counts = torch.tensor([part.numel() / part.shape[1] for part in convolved], dtype=torch.double)
    shares = (counts / counts.sum()).to(convolved[0].device)
    means = [part.mean((0, 2, 3), keepdim=True) for part in convolved]
    # torch.var_mean gives the same and takes 5 to 15 times as long on a CPU
    squares = [(part - mean).square_().mean((0, 2, 3)) for part, mean in zip(convolved, means, strict=True)]
    of_parts = torch.stack([mean.flatten() for mean in means]).double()
    mean = shares @ of_parts
    variance = shares @ (torch.stack(squares).double() + (of_parts - mean) ** 2)
    layer.bn.running_mean[start:] = mean[start:].float()
    layer.bn.running_var[start:] = variance[start:].float()


def calibrate(network: Network, batches: list[Tensor]) -> None:
    """Sets the BN statistics of a backbone to those of some images, op by op, in place.

    Each layer is set after the layers before it, so the statistics are exactly those of the network in eval mode. A
    second call with the same images changes nothing.

    Args:
        network: The network. It is left in eval mode.
        batches: N,bands,h,w images in 0..1.
    """
    sweep = Sweep(network, batches)
    for op in sweep.ops():
        sweep.run(op, calibrate_from=0)


def sampled(parts: list[Tensor], positions: int) -> Tensor:
    """Samples pixels of a value. Values of equal sizes are sampled at equal positions.

    Args:
        parts: Its N,C,h,w part of each batch.
        positions: How many pixels are taken at most.

    Returns:
        P,C elements; P is `positions` or slightly less, and the number of all pixels where there are fewer.
    """
    generator = torch.Generator().manual_seed(0)
    rows = [part.permute(0, 2, 3, 1).flatten(0, 2) for part in parts]
    total = sum(map(len, rows))
    if total <= positions:
        return torch.cat(rows)
    taken = []
    for part in rows:
        order = torch.randperm(len(part), generator=generator)
        taken.append(part[order[: positions * len(part) // total].to(part.device)])
    return torch.cat(taken)
