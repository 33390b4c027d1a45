"""Orders the channels of a network so that the leading ones matter most. Its function stays the same.

A residual stream has no activation, so its channels may be turned to the principal axes of their values (PCA). The
convolutions that make the stream and those that read it take up the rotation. Hidden channels have an activation; they
are sorted by what they add to the projection. A slice of leading channels is then a good small network, which is what
OFA (Cai et al. 2020, channel sorting) and BigNAS (Yu et al. 2020) take from a large one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nas.inheritance.channels import (
    Channels,
    can_be_sorted,
    can_be_turned,
    hidden_channels,
    residual_streams,
)
from nas.inheritance.projections import folded, set_folded
from nas.inheritance.sweep import Sweep, layer_of, sampled
from search_spaces.network import Network
from search_spaces.ops import CONV, DEPTHWISE

MIN_PEAK = 1e-2  # of the largest peak: a channel that is almost always zero stays small
POSITIONS = 16384  # pixels of a value that its statistics are computed from


@dataclass(frozen=True)
class ValueStatistics:
    """What the values of a backbone are like on some images.

    Attributes:
        pixels: P,C sampled pixels of each value of a residual stream, by name.
        deviations: The standard deviation of each channel of the value that a projection reads, by its name.
    """

    pixels: dict[str, Tensor]
    deviations: dict[str, Tensor]


def value_statistics(network: Network, batches: list[Tensor], positions: int = POSITIONS) -> ValueStatistics:
    """Runs a backbone and keeps samples of its values.

    Args:
        network: The network. It is left in eval mode.
        batches: N,bands,h,w images in 0..1.
        positions: How many pixels of a value are kept at most; the choice is the same every time.

    Returns:
        The statistics.
    """
    projections = [op for op in network.graph if op.name.endswith(".project") and op.has_weights]
    read = {op.inputs[0] for op in projections}
    streams = {name for stream, _ in residual_streams(network.graph) for name in stream.values}
    pixels, deviations = {}, {}
    sweep = Sweep(network, batches)
    for op in sweep.ops():
        parts = sweep.run(op)
        if op.name in streams:
            pixels[op.name] = sampled(parts, positions)
        if op.name in read:
            deviations[op.name] = sampled(parts, positions).double().std(0)
    return ValueStatistics(pixels, deviations)


@torch.no_grad()
def ordered(network: Network, batches: list[Tensor]) -> Network:
    """Turns residual streams to their principal axes, sorts hidden channels, and gives each stream one range.

    A stream that a depthwise convolution of the head reads is sorted by its deviations instead of turned.

    Args:
        network: The network, which is left as it is apart from its mode: eval.
        batches: N,bands,h,w images in 0..1 on which the values are observed.

    Returns:
        A copy in eval mode with the same outputs.
    """
    statistics = value_statistics(network, batches)
    turned = Network(network.genotype).to(batches[0].device)
    turned.load_state_dict(network.state_dict())
    turned.eval()
    for group in hidden_channels(turned.graph):
        _sort_hidden(turned, group, statistics)
    for stream, group in residual_streams(turned.graph):
        axes = principal_axes(stream, statistics) if can_be_turned(stream) else None
        if axes is not None:
            _turn(turned, stream, axes, statistics)
            _scale(turned, stream, _peaks(stream, statistics, axes))
        elif can_be_sorted(group):
            order = _covariance(stream, statistics).diagonal().argsort(descending=True, stable=True)
            _permute(turned, group, order)
            _scale(turned, stream, _peaks(stream, statistics)[order])
    return turned


@torch.no_grad()
def equalized(network: Network, batches: list[Tensor]) -> Network:
    """Gives the channels of each residual stream one range, so that an int8 grid suits all of them.

    This is cross-layer equalization (Nagel et al. 2019) for values that have no activation.

    Args:
        network: The network, which is left as it is apart from its mode: eval.
        batches: N,bands,h,w images in 0..1 on which the ranges are observed.

    Returns:
        A copy in eval mode with the same outputs.
    """
    statistics = value_statistics(network, batches)
    equal = Network(network.genotype).to(batches[0].device)
    equal.load_state_dict(network.state_dict())
    for stream, _ in residual_streams(equal.graph):
        _scale(equal, stream, _peaks(stream, statistics))
    return equal.eval()


def principal_axes(stream: Channels, statistics: ValueStatistics) -> Tensor:
    """Finds the principal axes of a residual stream.

    Args:
        stream: The stream.
        statistics: Its values.

    Returns:
        An orthogonal matrix (C, C); its rows are the axes, the one with the greatest variance first.
    """
    _, vectors = torch.linalg.eigh(_covariance(stream, statistics))
    axes = vectors.flip(1).T
    # an eigenvector has no sign of its own: its largest element becomes positive
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    signed: Tensor = axes * largest.sign()
    return signed


def _covariance(stream: Channels, statistics: ValueStatistics) -> Tensor:
    """The average covariance of the outputs of the blocks, each scaled to one total variance."""
    covariances = [torch.cov(statistics.pixels[name].double().T) for name in stream.outputs]
    return torch.stack([each / each.trace().clamp_min(1e-12) for each in covariances]).mean(0)


def _peaks(stream: Channels, statistics: ValueStatistics, axes: Tensor | None = None) -> Tensor:
    """The largest magnitude of each channel over all values of a stream."""
    held = [statistics.pixels[name].double() for name in sorted(stream.values & statistics.pixels.keys())]
    return torch.stack([(x if axes is None else x @ axes.T).abs().amax(0) for x in held]).amax(0)


def _sort_hidden(network: Network, group: Channels, statistics: ValueStatistics) -> None:
    (projection,) = [op for op in group.readers if op.name.endswith(".project")]
    weight, _ = folded(layer_of(network, projection.name))
    added = statistics.deviations[projection.inputs[0]] * weight.flatten(1).norm(dim=0)
    _permute(network, group, added.argsort(descending=True, stable=True))


def _permute(network: Network, group: Channels, order: Tensor) -> None:
    for op in group.makers:
        layer = layer_of(network, op.name)
        for tensor in (*layer.parameters(), *layer.buffers()):
            if tensor.dim() > 0:  # all but the count of batches
                tensor.copy_(tensor[order])
    for op in group.readers:
        if op.kind == CONV:
            weight = layer_of(network, op.name).conv.weight
            weight.copy_(weight[:, order])


def _turn(network: Network, stream: Channels, axes: Tensor, statistics: ValueStatistics) -> None:
    for op in stream.makers:
        layer = layer_of(network, op.name)
        weight, bias = folded(layer)
        pixels = statistics.pixels[op.name].double() @ axes.T
        variance, mean = torch.var_mean(pixels, 0, correction=0)
        set_folded(layer, torch.einsum("ij,jkyx->ikyx", axes, weight), axes @ bias, mean, variance)
    for op in stream.readers:
        weight = layer_of(network, op.name).conv.weight
        weight.copy_(torch.einsum("oiyx,ji->ojyx", weight.double(), axes))


def _scale(network: Network, stream: Channels, peaks: Tensor) -> None:
    """Brings the peaks of all channels to that of the largest."""
    if any(op.kind not in (CONV, DEPTHWISE) for op in stream.readers):
        return
    factor = (peaks.max() / peaks.clamp_min(MIN_PEAK * float(peaks.max()))).nan_to_num(1.0).float()
    for op in stream.makers:
        bn = layer_of(network, op.name).bn
        bn.get_parameter("weight").mul_(factor)
        bn.get_parameter("bias").mul_(factor)
    for op in stream.readers:
        weight = layer_of(network, op.name).conv.weight
        weight.div_(factor.view(-1, 1, 1, 1) if op.kind == DEPTHWISE else factor.view(1, -1, 1, 1))
