"""What a .tflite file consists of: its ops, and the names of a network's values in it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from compress.tflite.flatbuffer import TYPE_NAMES, is_value, op_name, read_model, tensor_name, value_names
from compress.tflite.op_codes import FLOAT_FALLBACK_KINDS, TIED_KINDS, file_op_name
from search_spaces.errors import InputError
from search_spaces.ops import INPUT, Graph

FALLBACK_OPS = tuple(file_op_name(kind) for kind in FLOAT_FALLBACK_KINDS)
INT8_OPS = (*FALLBACK_OPS, *(file_op_name(kind) for kind in TIED_KINDS))


@dataclass(frozen=True)
class FileOp:
    """One op of a file. Constants are left out.

    Attributes:
        name: The schema's name, such as CONV_2D.
        in_types: The types of the values it reads, such as INT8.
        out_types: The types of the values it makes.
        in_shapes: The shapes N,H,W,C of the values it reads.
        out_shapes: The shapes N,H,W,C of the values it makes.
    """

    name: str
    in_types: tuple[str, ...]
    out_types: tuple[str, ...]
    in_shapes: tuple[tuple[int, ...], ...]
    out_shapes: tuple[tuple[int, ...], ...]


def file_ops(content: bytes) -> list[FileOp]:
    """The ops of a file's first subgraph, the only one that runs.

    Args:
        content: The bytes of a .tflite file.

    Returns:
        The ops, in the order they run.

    Raises:
        InputError: The bytes are not a .tflite file, or the file is damaged.
    """
    model = read_model(content)
    subgraph = model.subgraphs[0]

    def of(indices: Sequence[int]) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
        tensors = [subgraph.tensors[i] for i in indices if i >= 0 and is_value(model, subgraph.tensors[i])]
        shapes = (() if t.shape is None else t.shape for t in tensors)
        return tuple(TYPE_NAMES[t.type] for t in tensors), tuple(tuple(int(s) for s in shape) for shape in shapes)

    ops = []
    for operator in subgraph.operators:
        (in_types, in_shapes), (out_types, out_shapes) = of(operator.inputs), of(operator.outputs)
        ops.append(FileOp(op_name(model, operator), in_types, out_types, in_shapes, out_shapes))
    return ops


def check_all_int8(content: bytes, float_tensors: Collection[str] = ()) -> int:
    """Checks that a file is int8 throughout. ARG_MAX reads int8 and makes int32.

    Args:
        content: The bytes of a .tflite file.
        float_tensors: The tensors whose ops run in float, with the conversions that these ops need.

    Returns:
        The number of int8 ops.

    Raises:
        InputError: An op runs in float, converts, transposes, or is no builtin op. The message names it.
    """
    model = read_model(content)
    subgraph = model.subgraphs[0]
    ops = file_ops(content)
    floats = set(float_tensors)
    makes = [tensor_name(model, operator.outputs[0]) for operator in subgraph.operators]
    reads = [set(value_names(model, operator.inputs)) for operator in subgraph.operators]
    readers = {name: {m for m, names in zip(makes, reads, strict=True) if name in names} for name in makes}
    int8_ops = 0
    for op, made, read in zip(ops, makes, reads, strict=True):
        types = (set(op.in_types), set(op.out_types))
        if made in floats:
            fits = types == ({"FLOAT32"}, {"FLOAT32"}) and op.name in FALLBACK_OPS
        elif op.name == "DEQUANTIZE":
            fits = bool(readers[made]) and readers[made] <= floats
        elif op.name == "QUANTIZE":
            fits = types == ({"FLOAT32"}, {"INT8"}) and read <= floats
        elif op.name == "ARG_MAX":
            fits = types == ({"INT8"}, {"INT32"}) or (types == ({"FLOAT32"}, {"INT32"}) and read <= floats)
        else:
            fits = types == ({"INT8"}, {"INT8"}) and op.name in INT8_OPS
        if not fits:
            raise InputError(
                f"{op.name} {op.in_shapes} -> {op.out_shapes} reads {op.in_types} and makes {op.out_types}: "
                "the model is not int8 throughout; report this genotype"
            )
        int8_ops += types[0] == {"INT8"} and op.name not in ("QUANTIZE", "DEQUANTIZE")
    return int8_ops


def tensor_names(content: bytes, graph: Graph) -> dict[str, str]:
    """The tensor of every value of a network, in the file converted from it. The converter keeps the order of the ops.

    Args:
        content: The bytes of the float .tflite file.
        graph: The op list of the network.

    Returns:
        The tensor name of each value, INPUT included.

    Raises:
        InputError: The ops of the file are not those of the graph, one by one.
    """
    model = read_model(content)
    subgraph = model.subgraphs[0]
    names = {INPUT: tensor_name(model, subgraph.inputs[0])}
    for op, operator in zip_longest(graph, subgraph.operators):
        fits = op and operator and op_name(model, operator) == file_op_name(op.kind)
        if not fits or value_names(model, operator.inputs) != [names[value] for value in op.inputs]:
            raise InputError(f"the converted file departs from the network at {op and op.name}; report this genotype")
        names[op.name] = tensor_name(model, operator.outputs[0])
    return names
