"""Reading and mending .tflite files through the flatbuffer schema (ai_edge_litert.schema_py_generated)."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from compress.tflite.ranges import BIAS_STEPS, WEIGHT_LEVELS
from compress.tflite.writer import CODES, pack
from search_spaces.errors import InputError
from search_spaces.ops import INPUT, Graph

OP_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
TYPE_NAMES = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
ARG_MAX_INT8_VERSION = 2
# that may run in float when accuracy demands it
FALLBACK_OPS = ("CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MUL", "LOGISTIC", "MEAN")
INT8_OPS = (*FALLBACK_OPS, "CONCATENATION", "RESIZE_BILINEAR")


@dataclass(frozen=True)
class FileOp:
    """One op of a file: its name, the types and N,H,W,C shapes of the values it reads (without constants) and makes."""

    name: str
    in_types: tuple[str, ...]
    out_types: tuple[str, ...]
    in_shapes: tuple[tuple[int, ...], ...]
    out_shapes: tuple[tuple[int, ...], ...]


def read_model(content: bytes) -> Any:
    """The unpacked `ModelT`. Raises InputError for bytes that are not a .tflite file."""
    if content[4:8] != b"TFL3":
        raise InputError("not a .tflite file: it lacks the identifier TFL3; export it again")
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for buffer in model.buffers:
        if buffer.offset > 1:  # weights kept behind the flatbuffer; packing anew would lose them
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def file_ops(content: bytes) -> list[FileOp]:
    """The ops of the only subgraph that runs, in order."""
    model = read_model(content)
    subgraph = model.subgraphs[0]

    def of(indices: Sequence[int]) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
        tensors = [subgraph.tensors[i] for i in indices if i >= 0 and _is_value(model, subgraph.tensors[i])]
        return tuple(TYPE_NAMES[t.type] for t in tensors), tuple(tuple(int(s) for s in t.shape) for t in tensors)

    ops = []
    for operator in subgraph.operators:
        (in_types, in_shapes), (out_types, out_shapes) = of(operator.inputs), of(operator.outputs)
        ops.append(FileOp(_name(model, operator), in_types, out_types, in_shapes, out_shapes))
    return ops


def _is_value(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return tensor.buffer == 0 or data is None or len(data) == 0


def _name(model: Any, operator: Any) -> str:
    code = model.operatorCodes[operator.opcodeIndex]
    if code.customCode:
        return f"CUSTOM {code.customCode.decode(errors='replace')}"
    name: str = OP_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
    return name


def check_all_int8(content: bytes, floats: Collection[str] = ()) -> int:
    """The number of int8 ops: all of a file, ARG_MAX making int32, but those that make the tensors `floats`, which
    run in float, and the conversions that these need.

    Raises InputError that names an op that runs in float, converts, transposes or is no builtin.
    """
    model = read_model(content)
    subgraph = model.subgraphs[0]
    ops = file_ops(content)
    makes = [subgraph.tensors[operator.outputs[0]].name.decode() for operator in subgraph.operators]
    reads = [_value_names(model, operator) for operator in subgraph.operators]
    readers = {name: {m for m, names in zip(makes, reads, strict=True) if name in names} for name in makes}
    int8_ops = 0
    for op, made, read in zip(ops, makes, reads, strict=True):
        types = (set(op.in_types), set(op.out_types))
        if made in floats:
            fits = types == ({"FLOAT32"}, {"FLOAT32"}) and op.name in FALLBACK_OPS
        elif op.name == "DEQUANTIZE":
            fits = bool(readers[made]) and readers[made] <= set(floats)
        elif op.name == "QUANTIZE":
            fits = types == ({"FLOAT32"}, {"INT8"}) and set(read) <= set(floats)
        elif op.name == "ARG_MAX":
            fits = types == ({"INT8"}, {"INT32"}) or (types == ({"FLOAT32"}, {"INT32"}) and set(read) <= set(floats))
        else:
            fits = types == ({"INT8"}, {"INT8"}) and op.name in INT8_OPS
        if not fits:
            raise InputError(
                f"{op.name} {op.in_shapes} -> {op.out_shapes} reads {op.in_types} and makes {op.out_types}: "
                "the model is not int8 throughout; report this genotype"
            )
        int8_ops += types[0] == {"INT8"} and op.name not in ("QUANTIZE", "DEQUANTIZE")
    return int8_ops


def _value_names(model: Any, operator: Any) -> list[str]:
    """What an op reads, without constants."""
    tensors = [model.subgraphs[0].tensors[i] for i in operator.inputs if i >= 0]
    return [tensor.name.decode() for tensor in tensors if _is_value(model, tensor)]


def tensor_names(content: bytes, graph: Graph) -> dict[str, str]:
    """The name in a file of every value of the network that the file was converted from, INPUT included.

    The converter keeps the order of the ops. Raises InputError when a file's ops are not the graph's, one by one.
    """
    model = read_model(content)
    subgraph = model.subgraphs[0]
    names = {INPUT: subgraph.tensors[subgraph.inputs[0]].name.decode()}
    for op, operator in zip_longest(graph, subgraph.operators):
        fits = op and operator and _name(model, operator) == OP_NAMES[CODES[op.kind][0]]
        if not fits or _value_names(model, operator) != [names[value] for value in op.inputs]:
            raise InputError(f"the converted file departs from the network at {op and op.name}; report this genotype")
        names[op.name] = subgraph.tensors[operator.outputs[0]].name.decode()
    return names


def tied_tensors(content: bytes) -> Iterator[set[str]]:
    """Names of values that share one quantization: what a concat joins and what a resize reads and makes.

    With one range the quantizer needs no QUANTIZE op between them (the int8 specification asks a concat and a
    resize for equal scales: ai.google.dev/edge/litert/models/quantization_spec).
    """
    model = read_model(content)
    subgraph = model.subgraphs[0]
    tied: list[set[str]] = []
    for operator in subgraph.operators:
        if _name(model, operator) not in ("CONCATENATION", "RESIZE_BILINEAR"):
            continue
        names = {*_value_names(model, operator), subgraph.tensors[operator.outputs[0]].name.decode()}
        touching = [group for group in tied if group & names]
        tied = [group for group in tied if not group & names] + [names.union(*touching)]
    yield from tied


def weight_bounds(content: bytes, steps: Mapping[str, float]) -> dict[str, np.ndarray]:
    """By tensor name, the magnitude that each channel's weight scale of a float file must cover, given the int8 scale
    of each value.

    A bias is stored in steps of weight scale times input scale. Where the weights of a channel have died (batch norm
    scales them to nothing) that is more than int32 holds, and the bias would be lost: these channels get the scale
    that their bias needs.
    """
    model = read_model(content)
    tensors = model.subgraphs[0].tensors
    bounds: dict[str, np.ndarray] = {}
    for operator in model.subgraphs[0].operators:
        if _name(model, operator) not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            continue
        x, weight, bias = (tensors[i] for i in operator.inputs)
        out = 3 if _name(model, operator) == "DEPTHWISE_CONV_2D" else 0
        values, biases = (np.frombuffer(model.buffers[t.buffer].data, np.float32) for t in (weight, bias))
        values = np.moveaxis(values.reshape(weight.shape), out, 0)
        needed = np.abs(biases) * WEIGHT_LEVELS / (steps[x.name.decode()] * BIAS_STEPS)
        bound = np.maximum(np.abs(values).max((1, 2, 3)), needed).astype(np.float32)
        name = weight.name.decode()
        bounds[name] = np.maximum(bounds.get(name, 0), bound.reshape([-1 if axis == out else 1 for axis in range(4)]))
    return bounds


def argmax_in_int8(content: bytes) -> bytes:
    """The same file with each ARG_MAX reading the int8 logits themselves.

    The quantizer leaves ARG_MAX in float behind a DEQUANTIZE; one scale for all classes keeps the order, so
    the conversion changes nothing and costs time.
    """
    model = read_model(content)
    subgraph = model.subgraphs[0]
    made_by = {operator.outputs[0]: operator for operator in subgraph.operators}
    dropped = []
    for operator in subgraph.operators:
        feeder = made_by.get(operator.inputs[0]) if _name(model, operator) == "ARG_MAX" else None
        if feeder is None or _name(model, feeder) != "DEQUANTIZE":
            continue
        readers = [o for o in subgraph.operators if feeder.outputs[0] in o.inputs]
        operator.inputs = [feeder.inputs[0], *operator.inputs[1:]]
        model.operatorCodes[operator.opcodeIndex].version = ARG_MAX_INT8_VERSION
        if len(readers) == 1:
            dropped.append(feeder)
    subgraph.operators = [operator for operator in subgraph.operators if not any(operator is d for d in dropped)]
    return pack(model)
