"""The same int8 network for runtimes that cannot feed int8 or that want scores, made by editing the finished file.

A variant keeps every weight and every int8 op. Only the ends change: a QUANTIZE op in front takes uint8 pixels, and the
ARG_MAX at the end is left out where the runtime computes the class itself.
"""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from compress.tflite.flatbuffer import op_name, pack, read_model
from compress.tflite.quantization import ARG_MAX_INT8_VERSION
from compress.tflite.writer import quantization
from search_spaces.errors import InputError

UINT8_OFFSET = 128  # a uint8 pixel is its int8 value plus this
QUANTIZE_VERSION, DEQUANTIZE_VERSION = 2, 2  # that take 8-bit values


def with_uint8_input(content: bytes) -> bytes:
    """Puts a QUANTIZE op in front of an int8 file, so that it reads plain pixel bytes.

    Both types have the same scale, and their zero points differ by 128. So every pixel reaches the network unchanged.

    Args:
        content: a .tflite file with one int8 input (1,H,W,bands), as `compress.quantize` makes it.

    Returns:
        The .tflite file with one uint8 input of the same shape.

    Raises:
        InputError: the input of the file is not int8.
    """
    model = read_model(content)
    subgraph = model.subgraphs[0]
    (index,) = (int(i) for i in subgraph.inputs)
    pixels = subgraph.tensors[index]
    if pixels.type != schema.TensorType.INT8:
        raise InputError("the input of the .tflite file is not int8; give the model.tflite of a run")
    zero_point = int(pixels.quantization.zeroPoint[0]) + UINT8_OFFSET
    grid = quantization(np.array(pixels.quantization.scale, np.float32), zero_point, 0)
    given = _add_tensor(subgraph, "pixels", pixels.shape, schema.TensorType.UINT8, grid)
    quantize = _operator(model, schema.BuiltinOperator.QUANTIZE, QUANTIZE_VERSION, given, index)
    subgraph.operators = [quantize, *subgraph.operators]
    subgraph.inputs = [given]
    _move_signature(model, index, given)
    return pack(model)


def with_class_map(content: bytes) -> bytes:
    """Puts an ARG_MAX at the end of a file that ends in int8 logits.

    Args:
        content: a .tflite file; one that ends in an ARG_MAX is left as it is.

    Returns:
        The .tflite file whose output is the class map, int32 (1,h,w).
    """
    model = read_model(content)
    subgraph = model.subgraphs[0]
    if op_name(model, subgraph.operators[-1]) == "ARG_MAX":
        return content
    (logits,) = (int(i) for i in subgraph.outputs)
    made = _add_tensor(subgraph, "class_map", subgraph.tensors[logits].shape[:3], schema.TensorType.INT32)
    axis = _add_tensor(subgraph, "class_map.axis", (1,), schema.TensorType.INT32)
    buffer = schema.BufferT()
    buffer.data = np.array([3], np.int32).view(np.uint8)
    model.buffers.append(buffer)
    subgraph.tensors[axis].buffer = len(model.buffers) - 1
    argmax = _operator(model, schema.BuiltinOperator.ARG_MAX, ARG_MAX_INT8_VERSION, logits, made)
    argmax.inputs = [logits, axis]
    argmax.builtinOptionsType, argmax.builtinOptions = schema.BuiltinOptions.ArgMaxOptions, schema.ArgMaxOptionsT()
    argmax.builtinOptions.outputType = schema.TensorType.INT32
    subgraph.operators.append(argmax)
    subgraph.outputs = [made]
    _move_signature(model, logits, made)
    return pack(model)


def with_logits_output(content: bytes) -> bytes:
    """Leaves the ARG_MAX at the end of a file out, so that it gives float32 logits.

    Args:
        content: a .tflite file that ends in an ARG_MAX, with logits in int8 or float32.

    Returns:
        The .tflite file whose output is the logits, float32 (1,h,w,classes).

    Raises:
        InputError: the file does not end in an ARG_MAX.
    """
    model = read_model(content)
    subgraph = model.subgraphs[0]
    last = subgraph.operators[-1]
    code = model.operatorCodes[last.opcodeIndex]
    if max(code.builtinCode, code.deprecatedBuiltinCode) != schema.BuiltinOperator.ARG_MAX:
        raise InputError("the .tflite file does not end in an ARG_MAX; give the model.tflite of a run")
    logits, class_map = int(last.inputs[0]), int(subgraph.outputs[0])
    subgraph.operators = list(subgraph.operators[:-1])
    made = logits
    if subgraph.tensors[logits].type != schema.TensorType.FLOAT32:
        made = _add_tensor(subgraph, "logits", subgraph.tensors[logits].shape, schema.TensorType.FLOAT32)
        dequantize = _operator(model, schema.BuiltinOperator.DEQUANTIZE, DEQUANTIZE_VERSION, logits, made)
        subgraph.operators.append(dequantize)
    subgraph.outputs = [made]
    _move_signature(model, class_map, made)
    return pack(model)


def _add_tensor(subgraph: Any, name: str, shape: Any, dtype: int, grid: Any = None) -> int:
    """Adds a value to a subgraph and returns its index."""
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name.encode(), [int(s) for s in shape], dtype, 0
    tensor.quantization, tensor.hasRank = grid, True
    subgraph.tensors.append(tensor)
    return len(subgraph.tensors) - 1


def _operator(model: Any, builtin: int, version: int, reads: int, makes: int) -> Any:
    """An op with one input, one output and no options."""
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = [reads], [makes]
    return operator


def _move_signature(model: Any, old: int, new: int) -> None:
    """Lets the signatures name another tensor."""
    for signature in model.signatureDefs or []:
        for entry in (*(signature.inputs or ()), *(signature.outputs or ())):
            if entry.tensorIndex == old:
                entry.tensorIndex = new
