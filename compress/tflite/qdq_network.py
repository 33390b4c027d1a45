"""The network in torch with explicit quantize and dequantize ops (QDQ), on the grids of the int8 .tflite file.

The converters of ONNX and of Core ML turn these ops into their own. So their int8 files have the weights, the ranges
and the ops in float that model.tflite has.
"""

from collections.abc import Collection, Mapping
from copy import deepcopy

import torch
import torch.ao.quantization.fx._decomposed
from torch import Tensor
from torch.nn import functional as F

from compress.tflite.int8_grids import ValueRanges, value_grid, value_scale, weight_scales
from search_spaces.network import ConvBNAct, Network, fold_batch_norm, layer_name, same_padding
from search_spaces.ops import INPUT, Op

OPS = torch.ops.quantized_decomposed


class QDQNetwork(Network):
    """A network whose values and weights pass int8.

    Args:
        network: The float network that the int8 file was made from.
        ranges: The range of each value, by the name of the op that makes it.
        float_ops: The ops that stay in float.
        for_onnx: For ONNX Runtime, values and weights pass uint8, and biases int32. Its kernel for int8 weights clips
            sums to 16 bits on x86 without VNNI (onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
            For Core ML, values and weights pass int8, and biases stay in float: it has no int32 biases. The steps are
            the same.
    """

    def __init__(
        self, network: Network, ranges: ValueRanges, float_ops: Collection[str] = (), *, for_onnx: bool = False
    ) -> None:
        super().__init__(network.genotype)
        self.layers = fold_batch_norm(network).layers
        self.float_ops = frozenset(float_ops)
        self.for_onnx = for_onnx
        self.dtype = torch.uint8 if for_onnx else torch.int8
        self.shift = torch.iinfo(self.dtype).min - torch.iinfo(torch.int8).min  # of the integers against int8
        self.grids = {name: value_grid(found) for name, found in ranges.items()}
        for op in self.graph:
            if op.has_weights and op.name not in self.float_ops:
                self._quantize(op, torch.tensor(value_scale(ranges[op.inputs[0]])))

    def _quantize(self, op: Op, input_scale: Tensor) -> None:
        """Replaces the weights of a layer by integers and scales."""
        conv, name = self._layer(op).conv, layer_name(op.name)
        assert conv.bias is not None
        weight, bias = conv.weight.detach(), conv.bias.detach()
        scales = weight_scales(weight, bias, input_scale)
        integers = torch.round(weight / scales[:, None, None, None]) + self.shift
        self.register_buffer(f"{name}_weight", integers.to(self.dtype))
        self.register_buffer(f"{name}_scales", scales)
        self.register_buffer(f"{name}_zeros", torch.full((len(scales),), self.shift, dtype=self.dtype))
        if self.for_onnx:
            self.register_buffer(f"{name}_bias", torch.round(bias / (scales * input_scale)).to(torch.int32))
            self.register_buffer(f"{name}_bias_scales", scales * input_scale)
            self.register_buffer(f"{name}_bias_zeros", torch.zeros(len(scales), dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        """Computes the logits.

        Args:
            x: Images N,bands,h,w in 0..1.

        Returns:
            Logits N,classes,h',w'.
        """
        return super().forward(self._on_grid(INPUT, x))

    def run(self, op: Op, values: Mapping[str, Tensor]) -> Tensor:
        """Computes one op and puts its value on the grid, or computes it in float when it is one of `float_ops`.

        Args:
            op: The op.
            values: What it reads, by name.

        Returns:
            Its value N,C,h,w.
        """
        if op.name in self.float_ops:
            return super().run(op, values)
        values = {**values, **{x: self._on_grid(x, values[x]) for x in op.inputs if x in self.float_ops}}
        if not op.has_weights:
            return self._on_grid(op.name, super().run(op, values))
        layer, name, x = self._layer(op), layer_name(op.name), values[op.inputs[0]]
        weight = self._dequantized(f"{name}_weight", f"{name}_scales", f"{name}_zeros")
        bias = layer.conv.bias
        if self.for_onnx:
            bias = self._dequantized(f"{name}_bias", f"{name}_bias_scales", f"{name}_bias_zeros")
        (kernel, _), (stride, _), (dilation, _) = layer.conv.kernel_size, layer.conv.stride, layer.conv.dilation
        rows, columns = (same_padding(side, kernel, stride, dilation) for side in x.shape[2:])
        padding = (rows[0], columns[0])
        if padding != (rows[1], columns[1]):  # a pad that is an op must pass int8 too, or runtimes convolve in float
            x, padding = self._on_grid(op.inputs[0], F.pad(x, (*columns, *rows))), (0, 0)
        x = F.conv2d(x, weight, bias, stride, padding, dilation, layer.conv.groups)
        return self._on_grid(op.name, F.relu6(x) if layer.relu6 else x)

    def with_float_values(self) -> "QDQNetwork":
        """The same weights, with values that stay in float.

        Returns:
            A network of its own.
        """
        found = deepcopy(self)
        found.grids = {}
        return found

    def _layer(self, op: Op) -> ConvBNAct:
        layer = self.layers[layer_name(op.name)]
        assert isinstance(layer, ConvBNAct)
        return layer

    def _dequantized(self, integers: str, scales: str, zeros: str) -> Tensor:
        """Weights or biases as floats, with a scale for each output channel."""
        whole = self.get_buffer(integers)
        limits = torch.iinfo(whole.dtype)
        made: Tensor = OPS.dequantize_per_channel.default(
            whole, self.get_buffer(scales), self.get_buffer(zeros), 0, limits.min, limits.max, whole.dtype
        )
        return made

    def _on_grid(self, name: str, value: Tensor) -> Tensor:
        if name not in self.grids:  # the class map
            return value
        (scale, zero_point), limits = self.grids[name], torch.iinfo(self.dtype)
        arguments = (scale, zero_point + self.shift, limits.min, limits.max, self.dtype)
        integers = OPS.quantize_per_tensor.default(value, *arguments)
        made: Tensor = OPS.dequantize_per_tensor.default(integers, *arguments)
        return made
