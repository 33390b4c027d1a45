"""TFLite files written straight from an op list, without the converter: with random weights or with given ones.

Latency depends on shapes, not on values. So candidates and single ops are timed from random-weight models: one takes
milliseconds to make where a conversion takes seconds. `tests/test_files.py` compares the ops with those of a converted
and quantized file, one by one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema

from compress.tflite.flatbuffer import pack
from compress.tflite.int8_grids import SIGMOID_RANGE, value_grid, value_scale, weight_scales
from compress.tflite.op_codes import OP_CODES, options_of
from search_spaces.ops import ARGMAX, DEPTHWISE, MEAN, RESIZE, SIGMOID, Graph, Op, Shape

INT8, FLOAT32 = "int8", "float32"
PRECISIONS = (INT8, FLOAT32)
# of random-weight models: one grid for all values, that of a ReLU6, so nothing is requantized
RANDOM_VALUE_SCALE, RANDOM_VALUE_ZERO = 6 / 255, -128
RANDOM_WEIGHT_SCALE = 0.01
SIGMOID_SCALE = value_scale(SIGMOID_RANGE)
TENSOR_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int32": schema.TensorType.INT32,
    "int8": schema.TensorType.INT8,
}


@dataclass(frozen=True)
class Int8Contents:
    """What is in an int8 file beside its op list.

    Attributes:
        weights: By the name of the convolution, its float weights (out,in,k,k) and bias (out).
        ranges: By the name of the value, its range.
    """

    weights: Mapping[str, tuple[np.ndarray, np.ndarray]]
    ranges: Mapping[str, tuple[float, float]]


def random_weight_model(graph: Graph, precision: str = INT8) -> bytes:
    """A file with random weights, to be timed.

    Args:
        graph: The op list. Values that no op makes are the file's inputs, values that no op reads are its outputs.
        precision: One of PRECISIONS.

    Returns:
        The bytes of the .tflite file. Values have shape 1,H,W,C.
    """
    return _Writer(precision).write(graph)


def write_tflite(graph: Graph, contents: Int8Contents) -> bytes:
    """The int8 file of a network.

    Args:
        graph: The op list.
        contents: Its weights and ranges.

    Returns:
        The bytes of the .tflite file. Values have shape 1,H,W,C.
    """
    return _Writer(INT8, contents).write(graph)


class _Writer:
    """Collects the tensors, buffers and ops of one file."""

    def __init__(self, precision: str, contents: Int8Contents | None = None) -> None:
        self.int8 = precision == INT8
        self.contents = contents
        self.rng = np.random.default_rng(0)
        self.buffers = [schema.BufferT()]  # buffer 0 stays empty by convention
        self.tensors: list[Any] = []
        self.values: dict[str, int] = {}
        self.sigmoids: set[str] = set()

    def write(self, graph: Graph) -> bytes:
        """The bytes of the file."""
        kinds = sorted({op.kind for op in graph})
        made = {op.name for op in graph}
        read = {name for op in graph for name in op.inputs}
        self.sigmoids = {op.name for op in graph if op.kind == SIGMOID}
        inputs = {n: s for op in graph for n, s in zip(op.inputs, op.in_shapes, strict=True) if n not in made}
        for name, shape in inputs.items():
            self.values[name] = self.activation(name, shape)
        subgraph = schema.SubGraphT()
        subgraph.name = b"main"
        subgraph.operators = [self.operator(op, kinds.index(op.kind)) for op in graph]
        subgraph.inputs = [self.values[name] for name in inputs]
        subgraph.outputs = [self.values[op.name] for op in graph if op.name not in read]
        subgraph.tensors = self.tensors
        model = schema.ModelT()
        model.version = 3
        model.description = b"SlimLab: random weights" if self.contents is None else b"SlimLab"
        model.operatorCodes = [self.code(kind) for kind in kinds]
        model.subgraphs, model.buffers = [subgraph], self.buffers
        return pack(model)

    def code(self, kind: str) -> Any:
        """The operator code of a kind of op."""
        builtin, float_version, int8_version = OP_CODES[kind]
        code = schema.OperatorCodeT()
        code.builtinCode = builtin
        code.deprecatedBuiltinCode = min(builtin, 127)
        code.version = int8_version if self.int8 else float_version
        return code

    def operator(self, op: Op, opcode: int) -> Any:
        """The operator of an op, whose constants and output are added."""
        operator = schema.OperatorT()
        operator.opcodeIndex = opcode
        name, options = options_of(op)
        operator.builtinOptionsType, operator.builtinOptions = getattr(schema.BuiltinOptions, name), options
        operator.inputs = [self.values[x] for x in op.inputs] + self.constants(op)
        if op.kind == ARGMAX:
            output = self.tensor(op.name, (1, *op.shape[:2]), schema.TensorType.INT32)
        else:
            output = self.activation(op.name, op.shape)
        self.values[op.name] = output
        operator.outputs = [output]
        return operator

    def constants(self, op: Op) -> list[int]:
        """Adds what an op reads beside values; gives the tensors' places."""
        if op.has_weights:
            return self.weights(op)
        if op.kind == MEAN:
            return [self.constant(op.name + ".axes", np.array([1, 2], np.int32))]
        if op.kind == RESIZE:
            return [self.constant(op.name + ".size", np.array(op.shape[:2], np.int32))]
        if op.kind == ARGMAX:
            return [self.constant(op.name + ".axis", np.array([3], np.int32))]
        return []

    def weights(self, op: Op) -> list[int]:
        """The weights (1,k,k,channels of a depthwise convolution, out,k,k,in of another) and the bias."""
        depthwise = op.kind == DEPTHWISE
        if not self.int8:
            filters, bias = self.random_filters(op)
            return [self.constant("w", filters), self.constant("b", bias)]
        input_scale = self.grid(op.inputs[0])[0]
        if self.contents is None:
            filters, bias = self.random_filters(op)
            scales = np.full(len(bias), RANDOM_WEIGHT_SCALE, np.float32)
        else:
            weight, bias = self.contents.weights[op.name]
            found = weight_scales(torch.from_numpy(weight), torch.from_numpy(bias), torch.tensor(input_scale))
            scales = found.numpy()
            order = (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
            filters = np.ascontiguousarray(np.round(weight / scales[:, None, None, None]).transpose(order))
        weights = self.constant("w", filters.astype(np.int8), quantization(scales, 0, 3 if depthwise else 0))
        bias_scales = (scales * input_scale).astype(np.float32)
        integers = np.round(bias / bias_scales).astype(np.int32)
        return [weights, self.constant("b", integers, quantization(bias_scales, 0, 0))]

    def random_filters(self, op: Op) -> tuple[np.ndarray, np.ndarray]:
        """Random weights in the file's layout, and a bias of zeros."""
        channels, group_in, side, _ = op.weight_shape
        shape = (1, side, side, channels) if op.kind == DEPTHWISE else (channels, side, side, group_in)
        zeros = np.zeros(channels, np.float32)
        if self.int8:
            return self.rng.integers(-127, 128, shape, np.int8), zeros
        return self.rng.standard_normal(shape, np.float32), zeros

    def grid(self, name: str) -> tuple[float, int]:
        """Scale and zero point of an int8 value."""
        if self.contents is None:
            return (SIGMOID_SCALE if name in self.sigmoids else RANDOM_VALUE_SCALE), RANDOM_VALUE_ZERO
        return value_grid(self.contents.ranges[name])

    def activation(self, name: str, shape: Shape) -> int:
        """Adds the tensor of a value."""
        if not self.int8:
            return self.tensor(name, (1, *shape), schema.TensorType.FLOAT32)
        scale, zero = self.grid(name)
        parameters = quantization(np.array([scale], np.float32), zero, 0)
        return self.tensor(name, (1, *shape), schema.TensorType.INT8, parameters)

    def constant(self, name: str, values: np.ndarray, quantized: Any = None) -> int:
        """Adds a tensor with its content."""
        buffer = schema.BufferT()
        buffer.data = values.reshape(-1).view(np.uint8)
        self.buffers.append(buffer)
        return self.tensor(name, values.shape, TENSOR_TYPES[values.dtype.name], quantized, len(self.buffers) - 1)

    def tensor(self, name: str, shape: tuple[int, ...], dtype: int, quantized: Any = None, buffer: int = 0) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name.encode(), list(shape), dtype, buffer
        tensor.quantization, tensor.hasRank = quantized, True
        self.tensors.append(tensor)
        return len(self.tensors) - 1


def quantization(scales: np.ndarray, zero: int, dimension: int) -> Any:
    """The quantization of a tensor.

    Args:
        scales: One scale, or one for each channel.
        zero: The zero point of them all.
        dimension: The dimension of the channels.

    Returns:
        `QuantizationParametersT` of the schema.
    """
    parameters = schema.QuantizationParametersT()
    parameters.scale = scales
    parameters.zeroPoint = np.full(len(scales), zero, np.int64)
    parameters.quantizedDimension = dimension
    return parameters
