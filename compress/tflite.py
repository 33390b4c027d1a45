"""Reading and mending .tflite files through the flatbuffer schema (ai_edge_litert.schema_py_generated)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from compress.skeleton import pack
from search_spaces.errors import InputError

OP_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
TYPE_NAMES = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
ARG_MAX_INT8_VERSION = 2


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


def check_all_int8(content: bytes) -> int:
    """The number of ops, every one of which reads int8 and makes int8 (ARG_MAX makes int32).

    Raises InputError that names an op that runs in float, converts, transposes or is no builtin.
    """
    ops = file_ops(content)
    for op in ops:
        made = ("INT32",) if op.name == "ARG_MAX" else ("INT8",) * len(op.out_types)
        stray = op.name.startswith(("CUSTOM", "FLEX")) or op.name in ("QUANTIZE", "DEQUANTIZE", "TRANSPOSE", "CAST")
        if stray or op.out_types != made or set(op.in_types) != {"INT8"}:
            raise InputError(
                f"{op.name} {op.in_shapes} -> {op.out_shapes} reads {op.in_types} and makes {op.out_types}: "
                "the model is not int8 throughout; report this genotype"
            )
    return len(ops)


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
        values = [subgraph.tensors[i] for i in (*operator.inputs, *operator.outputs)]
        names = {tensor.name.decode() for tensor in values if _is_value(model, tensor)}
        touching = [group for group in tied if group & names]
        tied = [group for group in tied if not group & names] + [names.union(*touching)]
    yield from tied


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
