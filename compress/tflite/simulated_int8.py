"""Int8 arithmetic in torch: a network that computes what its int8 .tflite file will, and that can be trained.

The grids are those of `compress.tflite.int8_grids`, with batch norm folded. Rounding passes its gradient straight
through. The ranges are parameters and learn as LSQ's step sizes do (Esser et al. 2020; with an offset
Bhalgat et al. 2020).
"""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from compress.tflite.int8_grids import (
    WEIGHT_STEPS,
    ValueRanges,
    fixed_ranges,
    round_straight_through,
    tied_values,
    trainable_value_grid,
    weight_scales,
    widen_narrow_ranges,
)
from search_spaces.network import ConvBNAct, Network, fold_batch_norm, layer_name
from search_spaces.ops import ARGMAX, INPUT, RESIZE, Op

ABOVE_HALF = 1e-3  # of a step: sends halves up, float error included


def fake_quantize(network: Network, ranges: ValueRanges, float_ops: Collection[str] = ()) -> "FakeQuantized":
    """A network with the same forward on the int8 grid.

    Args:
        network: The float network.
        ranges: The range of each value before the argmax (`compress.tflite.ranges.observe_ranges`).
        float_ops: The ops that stay float, as the int8 file keeps them when accuracy demands it.

    Returns:
        The simulation, in eval mode, on the device of `network`.
    """
    device = next(network.parameters()).device
    return FakeQuantized(network, ranges, frozenset(float_ops)).to(device).eval()


class FakeQuantized(Network):
    """N,bands,h,w images in 0..1 to N,classes,h',w' logits as int8 gives them.

    Args:
        network: The float network.
        ranges: The range of each value before the argmax.
        float_ops: The ops that stay float.
    """

    def __init__(self, network: Network, ranges: ValueRanges, float_ops: frozenset[str] = frozenset()) -> None:
        super().__init__(network.genotype)
        self.layers = fold_batch_norm(network).layers
        self.float_ops = float_ops
        self.owner = {name: name for name in (op.name for op in self.graph if op.kind != ARGMAX)}
        for names in tied_values(self.graph):
            self.owner |= dict.fromkeys(names, min(names))
        self.fixed = fixed_ranges(self.graph)
        kept = {layer_name(owner): ranges[owner] for owner in self.owner.values() if owner not in self.fixed}
        self.low = nn.ParameterDict({name: nn.Parameter(torch.tensor(low)) for name, (low, _) in kept.items()})
        self.high = nn.ParameterDict({name: nn.Parameter(torch.tensor(high)) for name, (_, high) in kept.items()})

    def forward(self, x: Tensor) -> Tensor:
        """Runs the network in int8.

        Args:
            x: Images N,bands,h,w in 0..1.

        Returns:
            Logits N,classes,h',w'.
        """
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 has no room for 256 steps
            return super().forward(self.on_grid(INPUT, x.float()))

    def run(self, op: Op, values: Mapping[str, Tensor]) -> Tensor:
        """Runs one op in int8, or in float when it is one of `float_ops`.

        Args:
            op: The op.
            values: The values N,C,h,w made so far, by name.

        Returns:
            The value that the op makes.
        """
        if op.name in self.float_ops:
            return super().run(op, values)
        # what a float op made is quantized where an int8 op reads it
        values = {**values, **{x: self.on_grid(x, values[x]) for x in op.inputs if x in self.float_ops}}
        if not op.has_weights:
            return self.on_grid(op.name, super().run(op, values), half_up=op.kind == RESIZE)
        layer = self.layers[layer_name(op.name)]
        assert isinstance(layer, ConvBNAct)
        assert layer.conv.bias is not None
        input_scale = self.grid(op.inputs[0])[0].detach()
        scales = weight_scales(layer.conv.weight, layer.conv.bias, input_scale)
        bias_scales = scales * input_scale
        spread = scales[:, None, None, None]
        quantized = {
            "conv.weight": round_straight_through(layer.conv.weight / spread) * spread,
            "conv.bias": round_straight_through(layer.conv.bias / bias_scales) * bias_scales,
        }
        return self.on_grid(op.name, functional_call(layer, quantized, (values[op.inputs[0]],)))

    def range_of(self, name: str) -> tuple[Tensor, Tensor]:
        """The range of a value, with zero inside.

        Args:
            name: The name of the value.

        Returns:
            The low and the high end, scalars.
        """
        if name in self.fixed:
            low, high = self.fixed[name]
            return torch.tensor(low), torch.tensor(high)
        owner = layer_name(self.owner[name])
        return self.low[owner].clamp(max=0), self.high[owner].clamp(min=0)

    def grid(self, name: str, gradient: float = 1.0) -> tuple[Tensor, Tensor]:
        """The int8 grid of a value.

        Args:
            name: The name of the value.
            gradient: Scales what flows back into the range.

        Returns:
            The scale and the zero point, scalars.
        """
        low, high = ((bound - bound.detach()) * gradient + bound.detach() for bound in self.range_of(name))
        return trainable_value_grid(low, high)

    def on_grid(self, name: str, value: Tensor, half_up: bool = False) -> Tensor:
        """Rounds a value to the 256 steps of its range.

        A range gets the gradients of all elements of its value. LSQ scales them to the size of a weight's gradient.

        Args:
            name: The name of the value.
            value: N,C,h,w.
            half_up: Rounds halves up, as XNNPACK's resize does. Halves are frequent between pixels.

        Returns:
            The rounded value, of the same shape.
        """
        scale, zero = self.grid(name, (value.numel() * WEIGHT_STEPS) ** -0.5)
        steps = (value / scale + zero).clamp(-128, 127)
        return (round_straight_through(steps + ABOVE_HALF if half_up else steps) - zero) * scale

    def ranges(self) -> ValueRanges:
        """The ranges as learned, as wide as an int8 file needs them.

        Returns:
            The range of each value before the argmax.
        """
        found = {name: tuple(bound.item() for bound in self.range_of(name)) for name in self.owner}
        return widen_narrow_ranges({**found, **self.fixed}, self)  # type: ignore[dict-item]

    def plain(self) -> Network:
        """The float network with these weights. Its batch norms only add the biases.

        Returns:
            The network, in eval mode.
        """
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
