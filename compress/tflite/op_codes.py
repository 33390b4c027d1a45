"""What each kind of op of a network is in a .tflite file: its builtin op, the op's version and its options."""

from typing import Any

from ai_edge_litert import schema_py_generated as schema

from compress.tflite.flatbuffer import OP_NAMES
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
    Op,
)

NO_ACTIVATION, RELU6 = 0, 3  # of the schema's ActivationFunctionType

BUILTIN = schema.BuiltinOperator
OP_CODES: dict[str, tuple[int, int, int]] = {  # kind -> builtin op and its version for (float32, int8)
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
FLOAT_FALLBACK_KINDS = (CONV, DEPTHWISE, ADD, MUL, SIGMOID, MEAN)  # may run in float when accuracy demands it
TIED_KINDS = (CONCAT, RESIZE)  # what they read and what they make share one int8 grid


def file_op_name(kind: str) -> str:
    """The name of a kind of op in the file.

    Args:
        kind: A kind of `search_spaces.ops`.

    Returns:
        The schema's name, such as CONV_2D.
    """
    return OP_NAMES[OP_CODES[kind][0]]


def options_of(op: Op) -> tuple[str, Any]:
    """The options of an op.

    Args:
        op: An op of a network.

    Returns:
        The name in the schema's `BuiltinOptions`, and the options; None for an op without any.
    """
    options: Any
    if op.kind in (CONV, DEPTHWISE):
        return _convolution_options(op)
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


def _convolution_options(op: Op) -> tuple[str, Any]:
    name = "Conv2DOptions" if op.kind == CONV else "DepthwiseConv2DOptions"
    options = getattr(schema, name + "T")()
    options.padding = schema.Padding.SAME
    options.strideW = options.strideH = op.stride
    options.dilationWFactor = options.dilationHFactor = op.dilation
    options.fusedActivationFunction = RELU6 if op.relu6 else NO_ACTIVATION
    if op.kind == DEPTHWISE:
        options.depthMultiplier = 1
    return name, options
