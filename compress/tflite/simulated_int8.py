"""Int8 arithmetic in torch: a network that computes what its int8 .tflite file will, and can be trained.

The grid is ai-edge-quantizer's: weights symmetric in -127..127 with a scale for each output channel, values asymmetric
in -128..127 with one scale each, zero always a step, batch norm folded. Rounding passes its gradient straight through;
the ranges are parameters and learn as LSQ's step sizes do (Esser et al. 2020; with an offset Bhalgat et al. 2020).
"""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from compress.tflite.ranges import (
    LEAST_SPAN,
    LEVELS,
    WEIGHT_LEVELS,
    Ranges,
    fixed,
    tied_values,
    weight_scales,
    wide_enough,
)
from search_spaces.network import ConvBNAct, Network, fold_batch_norm, layer_name
from search_spaces.ops import ARGMAX, INPUT, RESIZE, Op

ABOVE_HALF = 1e-3  # of a step: sends halves up, float error included


def fake_quantize(network: Network, ranges: Ranges, floats: Collection[str] = ()) -> "FakeQuantized":
    """A network with the same forward on the int8 grid of `ranges` (`compress.tflite.ranges.observe_ranges`); ops
    named in `floats` stay float, as the int8 file keeps them when accuracy demands it."""
    device = next(network.parameters()).device
    return FakeQuantized(network, ranges, frozenset(floats)).to(device).eval()


class FakeQuantized(Network):
    """N,3,h,w images in 0..1 to N,classes,h',w' logits as int8 gives them."""

    def __init__(self, network: Network, ranges: Ranges, floats: frozenset[str] = frozenset()) -> None:
        super().__init__(network.genotype)
        self.layers = fold_batch_norm(network).layers
        self.floats = floats
        self.owner = {name: name for name in (op.name for op in self.graph if op.kind != ARGMAX)}
        for names in tied_values(self.graph):
            self.owner |= dict.fromkeys(names, min(names))
        self.fixed = fixed(self.graph)
        kept = {layer_name(owner): ranges[owner] for owner in self.owner.values() if owner not in self.fixed}
        self.low = nn.ParameterDict({name: nn.Parameter(torch.tensor(low)) for name, (low, _) in kept.items()})
        self.high = nn.ParameterDict({name: nn.Parameter(torch.tensor(high)) for name, (_, high) in kept.items()})

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 has no room for 256 steps
            return super().forward(self.on_grid(INPUT, x.float()))

    def run(self, op: Op, values: Mapping[str, Tensor]) -> Tensor:
        if op.name in self.floats:
            return super().run(op, values)
        # what a float op made is quantized where an int8 op reads it
        values = {**values, **{x: self.on_grid(x, values[x]) for x in op.inputs if x in self.floats}}
        if not op.has_weights:
            return self.on_grid(op.name, super().run(op, values), half_up=op.kind == RESIZE)
        layer = self.layers[layer_name(op.name)]
        assert isinstance(layer, ConvBNAct)
        assert layer.conv.bias is not None
        step = self.grid(op.inputs[0])[0].detach()
        scales = weight_scales(layer.conv.weight, layer.conv.bias, step)
        bias_scales = scales.flatten() * step
        quantized = {
            "conv.weight": rounded(layer.conv.weight / scales) * scales,
            "conv.bias": rounded(layer.conv.bias / bias_scales) * bias_scales,
        }
        return self.on_grid(op.name, functional_call(layer, quantized, (values[op.inputs[0]],)))

    def range_of(self, name: str) -> tuple[Tensor, Tensor]:
        """Low and high of a value, with zero between them."""
        if name in self.fixed:
            low, high = self.fixed[name]
            return torch.tensor(low), torch.tensor(high)
        owner = layer_name(self.owner[name])
        return self.low[owner].clamp(max=0), self.high[owner].clamp(min=0)

    def grid(self, name: str, gradient: float = 1.0) -> tuple[Tensor, Tensor]:
        """Scale and zero point of a value; `gradient` scales what flows back into its range."""
        low, high = ((bound - bound.detach()) * gradient + bound.detach() for bound in self.range_of(name))
        scale = (high - low).clamp_min(LEAST_SPAN) / LEVELS
        return scale, rounded(-128 - low / scale)

    def on_grid(self, name: str, value: Tensor, half_up: bool = False) -> Tensor:
        """A value rounded to the 256 steps of its range. A range has the gradients of all elements of its value; LSQ
        scales them to the size of a weight's. XNNPACK's resize rounds halves up, which are frequent between pixels."""
        scale, zero = self.grid(name, (value.numel() * WEIGHT_LEVELS) ** -0.5)
        steps = (value / scale + zero).clamp(-128, 127)
        return (rounded(steps + ABOVE_HALF if half_up else steps) - zero) * scale

    def ranges(self) -> Ranges:
        """As learned, by value name, and as wide as an int8 file needs them."""
        found = {name: tuple(bound.item() for bound in self.range_of(name)) for name in self.owner}
        return wide_enough({**found, **self.fixed}, self)  # type: ignore[dict-item]

    def plain(self) -> Network:
        """The float network with these weights, its batch norms doing nothing but adding the biases."""
        network = Network(self.genotype)
        for name, layer in network.layers.items():
            mine = self.layers[name]
            assert isinstance(layer, ConvBNAct)
            assert isinstance(mine, ConvBNAct)
            assert mine.conv.bias is not None
            weights: dict[str, Tensor] = {"conv.weight": mine.conv.weight}
            if isinstance(layer.bn, nn.BatchNorm2d):
                still = torch.full_like(layer.bn.weight, 1 - layer.bn.eps)
                weights |= {"bn.bias": mine.conv.bias, "bn.running_var": still}
            else:
                weights["conv.bias"] = mine.conv.bias
            layer.load_state_dict({**layer.state_dict(), **weights})
        return network.eval()


def rounded(x: Tensor) -> Tensor:
    """Half to even, with the gradient of doing nothing (straight-through, Bengio et al. 2013)."""
    return (x - x.detach()) + x.round().detach()  # in this order the sum is exact
