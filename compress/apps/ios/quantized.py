"""The network in torch with explicit quantize and dequantize ops, on the grid of the int8 .tflite file."""

from collections.abc import Mapping

import torch
import torch.ao.quantization.fx._decomposed
from torch import Tensor
from torch.nn import functional as F

from compress.tflite.int8_grids import ValueRanges, value_grid, value_scale, weight_scales
from search_spaces.network import ConvBNAct, Network, fold_batch_norm, layer_name, same_padding
from search_spaces.ops import INPUT, Op

INT8_MIN, INT8_MAX = -128, 127
OPS = torch.ops.quantized_decomposed


class QuantizedNetwork(Network):
    """A network whose values and weights pass int8, written with the ops that Core ML's converter knows.

    Biases stay float, since Core ML has no int32 biases.
    """

    def __init__(self, network: Network, ranges: ValueRanges) -> None:
        """Folds the batch norms and quantizes the weights.

        Args:
            network: the float network that the int8 file was made from.
            ranges: the least and greatest of each value, by the name of the op that makes it.
        """
        super().__init__(network.genotype)
        self.layers = fold_batch_norm(network).layers
        self.grids = {name: value_grid(found) for name, found in ranges.items()}
        for op in self.graph:
            if op.has_weights:
                layer = self._layer(op)
                assert layer.conv.bias is not None
                step = torch.tensor(value_scale(ranges[op.inputs[0]]))
                scales = weight_scales(layer.conv.weight.detach(), layer.conv.bias.detach(), step)
                integers = torch.round(layer.conv.weight.detach() / scales[:, None, None, None]).to(torch.int8)
                self.register_buffer(f"{layer_name(op.name)}_weight", integers)
                self.register_buffer(f"{layer_name(op.name)}_scales", scales)
                self.register_buffer(f"{layer_name(op.name)}_zeros", torch.zeros(len(integers), dtype=torch.int8))

    def forward(self, x: Tensor) -> Tensor:
        """Computes the logits.

        Args:
            x: images N,3,h,w in 0..1.

        Returns:
            Logits N,classes,h',w'.
        """
        return super().forward(self._on_grid(INPUT, x))

    def run(self, op: Op, values: Mapping[str, Tensor]) -> Tensor:
        """Computes one op and puts its value on the grid.

        Args:
            op: the op.
            values: what it reads, by name.

        Returns:
            Its value N,C,h,w.
        """
        if not op.has_weights:
            return self._on_grid(op.name, super().run(op, values))
        layer, name, x = self._layer(op), layer_name(op.name), values[op.inputs[0]]
        weight = OPS.dequantize_per_channel.default(
            self.get_buffer(f"{name}_weight"),
            self.get_buffer(f"{name}_scales"),
            self.get_buffer(f"{name}_zeros"),
            0,
            -INT8_MAX,
            INT8_MAX,
            torch.int8,
        )
        (kernel, _), (stride, _), (dilation, _) = layer.conv.kernel_size, layer.conv.stride, layer.conv.dilation
        rows, columns = (same_padding(side, kernel, stride, dilation) for side in x.shape[2:])
        x = F.conv2d(F.pad(x, (*columns, *rows)), weight, layer.conv.bias, stride, 0, dilation, layer.conv.groups)
        return self._on_grid(op.name, F.relu6(x) if layer.relu6 else x)

    def _layer(self, op: Op) -> ConvBNAct:
        layer = self.layers[layer_name(op.name)]
        assert isinstance(layer, ConvBNAct)
        return layer

    def _on_grid(self, name: str, value: Tensor) -> Tensor:
        if name not in self.grids:  # the class map
            return value
        scale, zero_point = self.grids[name]
        arguments = (scale, zero_point, INT8_MIN, INT8_MAX, torch.int8)
        integers = OPS.quantize_per_tensor.default(value, *arguments)
        made: Tensor = OPS.dequantize_per_tensor.default(integers, *arguments)
        return made


class ClassMap(torch.nn.Module):
    """Ends a network in the class index of each pixel."""

    def __init__(self, network: Network) -> None:
        """Takes the network as it is.

        Args:
            network: with batch norms or without.
        """
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Segments images.

        Args:
            image: N,3,h,w in 0..1.

        Returns:
            Class indices N,h',w' (int32).
        """
        found: Tensor = self.network(image).argmax(1).to(torch.int32)
        return found
