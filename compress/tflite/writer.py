"""TFLite files written straight from a graph, without the converter: with random weights or given ones.

Latency depends on shapes, not on values, so candidates and single ops are timed from skeletons: one takes
milliseconds to make where a conversion takes seconds. `tests/test_files.py` holds the ops to those of a
converted and quantized file, one by one. Schema: tensorflow/compiler/mlir/lite/schema/schema.fbs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from compress.tflite.ranges import BIAS_STEPS, GATE, LEAST_SPAN, WEIGHT_LEVELS, grid_of, step_of
from search_spaces.ops import (
    ADD,
    ARGMAX,
    CONCAT,
    CONV,
    DEPTHWISE,
    MEAN,
    MUL,
    RESIZE,
    SIGMOID,
    Graph,
    Op,
    Shape,
)

INT8, FLOAT32 = "int8", "float32"
PRECISIONS = (INT8, FLOAT32)
ACTIVATION_SCALE, ACTIVATION_ZERO = 6 / 255, -128  # a ReLU6's range; one for all, so nothing is requantized
SIGMOID_SCALE = step_of(GATE)
WEIGHT_SCALE = 0.01
NO_ACTIVATION, RELU6 = 0, 3

BUILTIN = schema.BuiltinOperator
CODES = {  # kind -> builtin op and its version for (float32, int8)
    CONV: (BUILTIN.CONV_2D, 1, 3),
    DEPTHWISE: (BUILTIN.DEPTHWISE_CONV_2D, 2, 3),
    ADD: (BUILTIN.ADD, 1, 2),
    MUL: (BUILTIN.MUL, 1, 2),
    SIGMOID: (BUILTIN.LOGISTIC, 1, 2),
    CONCAT: (BUILTIN.CONCATENATION, 1, 2),
    MEAN: (BUILTIN.MEAN, 1, 2),
    RESIZE: (BUILTIN.RESIZE_BILINEAR, 3, 3),
    ARGMAX: (BUILTIN.ARG_MAX, 1, 2),
}


@dataclass(frozen=True)
class Contents:
    """Of an int8 file: each convolution's float kernel (out,k,k,in; depthwise 1,k,k,channels) and bias, and the
    least and greatest of each value."""

    weights: Mapping[str, tuple[np.ndarray, np.ndarray]]
    ranges: Mapping[str, tuple[float, float]]


def random_weight_model(graph: Graph, precision: str = INT8) -> bytes:
    """The file; values that no op makes are its inputs, values that no op reads its outputs (N,H,W,C)."""
    return _Writer(precision).write(graph)


def write_tflite(graph: Graph, contents: Contents) -> bytes:
    """The int8 file with these weights and ranges."""
    return _Writer(INT8, contents).write(graph)


class _Writer:
    def __init__(self, precision: str, contents: Contents | None = None) -> None:
        self.int8 = precision == INT8
        self.contents = contents
        self.rng = np.random.default_rng(0)
        self.buffers = [schema.BufferT()]  # buffer 0 stays empty by convention
        self.tensors: list[Any] = []
        self.values: dict[str, int] = {}
        self.sigmoids: set[str] = set()

    def write(self, graph: Graph) -> bytes:
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
        model.version, model.description = 3, b"skeleton: random weights"
        model.operatorCodes = [self.code(kind) for kind in kinds]
        model.subgraphs, model.buffers = [subgraph], self.buffers
        return pack(model)

    def code(self, kind: str) -> Any:
        builtin, float_version, int8_version = CODES[kind]
        code = schema.OperatorCodeT()
        code.builtinCode = builtin
        code.deprecatedBuiltinCode = min(builtin, 127)
        code.version = int8_version if self.int8 else float_version
        return code

    def operator(self, op: Op, opcode: int) -> Any:
        operator = schema.OperatorT()
        operator.opcodeIndex = opcode
        name, options = _options(op)
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
        channels, group_in, side, _ = op.weight_shape
        depthwise = op.kind == DEPTHWISE
        shape = (1, side, side, channels) if depthwise else (channels, side, side, group_in)
        if not self.int8:
            filters = self.rng.standard_normal(shape, np.float32)
            return [self.constant("w", filters), self.constant("b", np.zeros(channels, np.float32))]
        step = self.grid(op.inputs[0])[0]
        if self.contents is None:
            filters = self.rng.integers(-127, 128, shape, np.int8)
            scales = np.full(channels, WEIGHT_SCALE, np.float32)
            bias = np.zeros(channels, np.float32)
        else:
            kernel, bias = self.contents.weights[op.name]
            # symmetric per channel, the channel first (dense) or last (depthwise)
            bounds = np.abs(kernel).max((0, 1, 2) if depthwise else (1, 2, 3))
            # a dead channel still has a bias
            scales = np.maximum(np.maximum(bounds, LEAST_SPAN) / WEIGHT_LEVELS, np.abs(bias) / (step * BIAS_STEPS))
            spread = scales if depthwise else scales[:, None, None, None]
            filters = np.round(kernel / spread).astype(np.int8)
        weights = self.constant("w", filters, quantization(scales, 0, 3 if depthwise else 0))
        bias_scales = (scales * step).astype(np.float32)
        integers = np.round(bias / bias_scales).astype(np.int32)
        return [weights, self.constant("b", integers, quantization(bias_scales, 0, 0))]

    def grid(self, name: str) -> tuple[float, int]:
        """Scale and zero point of an int8 value."""
        if self.contents is None:
            return (SIGMOID_SCALE if name in self.sigmoids else ACTIVATION_SCALE), ACTIVATION_ZERO
        return grid_of(self.contents.ranges[name])

    def activation(self, name: str, shape: Shape) -> int:
        if not self.int8:
            return self.tensor(name, (1, *shape), schema.TensorType.FLOAT32)
        scale, zero = self.grid(name)
        parameters = quantization(np.array([scale], np.float32), zero, 0)
        return self.tensor(name, (1, *shape), schema.TensorType.INT8, parameters)

    def constant(self, name: str, values: np.ndarray, quantized: Any = None) -> int:
        types = {"float32": schema.TensorType.FLOAT32, "int32": schema.TensorType.INT32, "int8": schema.TensorType.INT8}
        buffer = schema.BufferT()
        buffer.data = values.reshape(-1).view(np.uint8)
        self.buffers.append(buffer)
        return self.tensor(name, values.shape, types[values.dtype.name], quantized, len(self.buffers) - 1)

    def tensor(self, name: str, shape: tuple[int, ...], dtype: int, quantized: Any = None, buffer: int = 0) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name.encode(), list(shape), dtype, buffer
        tensor.quantization, tensor.hasRank = quantized, True
        self.tensors.append(tensor)
        return len(self.tensors) - 1


def quantization(scales: np.ndarray, zero: int, dimension: int) -> Any:
    parameters = schema.QuantizationParametersT()
    parameters.scale = scales
    parameters.zeroPoint = np.full(len(scales), zero, np.int64)
    parameters.quantizedDimension = dimension
    return parameters


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Writes equal vectors once: the zero points of per-channel weights and biases, which are all 0, are a tenth of a
    file otherwise."""

    def __init__(self) -> None:
        super().__init__(1 << 16)
        self.written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:
        key = (x.dtype.str, x.tobytes())
        if key not in self.written:
            self.written[key] = super().CreateNumpyVector(x)
        return self.written[key]


def pack(model: Any) -> bytes:
    """A `ModelT` as the bytes of a .tflite file."""
    builder = _Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _options(op: Op) -> tuple[str, Any]:
    options: Any
    if op.kind in (CONV, DEPTHWISE):
        name = "Conv2DOptions" if op.kind == CONV else "DepthwiseConv2DOptions"
        options = getattr(schema, name + "T")()
        options.padding = schema.Padding.SAME
        options.strideW = options.strideH = op.stride
        options.dilationWFactor = options.dilationHFactor = op.dilation
        options.fusedActivationFunction = RELU6 if op.relu6 else NO_ACTIVATION
        if op.kind == DEPTHWISE:
            options.depthMultiplier = 1
        return name, options
    if op.kind == ADD:
        return "AddOptions", schema.AddOptionsT()
    if op.kind == MUL:
        return "MulOptions", schema.MulOptionsT()
    if op.kind == SIGMOID:
        return "NONE", None
    if op.kind == CONCAT:
        options = schema.ConcatenationOptionsT()
        options.axis = 3
        return "ConcatenationOptions", options
    if op.kind == MEAN:
        options = schema.ReducerOptionsT()
        options.keepDims = True
        return "ReducerOptions", options
    if op.kind == RESIZE:
        options = schema.ResizeBilinearOptionsT()
        options.halfPixelCenters = True
        return "ResizeBilinearOptions", options
    options = schema.ArgMaxOptionsT()
    options.outputType = schema.TensorType.INT32
    return "ArgMaxOptions", options
