"""The bytes of a .tflite file to and from objects of its schema (`ai_edge_litert.schema_py_generated`).

Schema: tensorflow/compiler/mlir/lite/schema/schema.fbs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from compress.files.records import read_content
from search_spaces.errors import InputError

OP_NAMES: dict[int, str] = {
    value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)
}
TYPE_NAMES: dict[int, str] = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
IDENTIFIER = b"TFL3"


def read_model(content: bytes) -> Any:
    """Unpacks a file.

    Args:
        content: The bytes of a .tflite file.

    Returns:
        The `ModelT` of the schema.

    Raises:
        InputError: The bytes are not a .tflite file, or the file is damaged.
    """
    if content[4:8] != IDENTIFIER:
        raise InputError("not a .tflite file: it lacks the identifier TFL3; export it again")
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        for buffer in model.buffers:
            if buffer.offset > 1:  # weights kept behind the flatbuffer; packing anew would lose them
                buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
                buffer.offset = buffer.size = 0
        _check_indices(model)
    except InputError:
        raise
    except Exception as error:  # the generated reader follows damaged offsets and raises many kinds
        raise InputError(f"a damaged .tflite file ({type(error).__name__}); export it again") from error
    return model


def read_tflite(path: Path, remedy: str = "export it again") -> bytes:
    """Reads a .tflite file that will be run. The runtime may crash on a damaged one, so its structure is checked first.

    Args:
        path: The file.
        remedy: What the user does when the file is missing or damaged.

    Returns:
        The bytes of the file.

    Raises:
        InputError: The file is missing, is not a .tflite file, or is damaged. The message names it.
    """
    content = read_content(path, remedy)
    try:
        read_model(content)
    except InputError as error:
        raise InputError(f"{path}: {str(error).partition(';')[0]}; {remedy}") from error
    return content


def _check_indices(model: Any) -> None:
    """Raises InputError unless everything that ops and tensors refer to is there."""
    if not model.subgraphs:
        raise InputError("a damaged .tflite file: it has no subgraph; export it again")
    for subgraph in model.subgraphs:
        tensors = range(-1, len(subgraph.tensors))  # -1 stands for an input that an op does without
        for operator in subgraph.operators:
            known = operator.opcodeIndex in range(len(model.operatorCodes))
            if not known or any(i not in tensors for i in (*operator.inputs, *operator.outputs)):
                raise InputError("a damaged .tflite file: an op refers to what is not there; export it again")
        if any(tensor.buffer not in range(len(model.buffers)) for tensor in subgraph.tensors):
            raise InputError("a damaged .tflite file: a tensor refers to what is not there; export it again")


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Writes equal vectors once. The zero points of per-channel weights and biases, which are all 0, are a tenth of a
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
    """Packs a file.

    Args:
        model: A `ModelT` of the schema.

    Returns:
        The bytes of the .tflite file.
    """
    builder = _Builder()
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def op_name(model: Any, operator: Any) -> str:
    """The name of an op's kind.

    Args:
        model: A `ModelT` of the schema.
        operator: An `OperatorT` of its subgraph.

    Returns:
        The schema's name, such as CONV_2D, or CUSTOM and the custom code.
    """
    code = model.operatorCodes[operator.opcodeIndex]
    if code.customCode:
        return f"CUSTOM {code.customCode.decode(errors='replace')}"
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return OP_NAMES.get(number, f"UNKNOWN {number}")


def is_value(model: Any, tensor: Any) -> bool:
    """Whether a tensor is computed when the file runs, and is not a constant of the file.

    Args:
        model: A `ModelT` of the schema.
        tensor: A `TensorT` of its subgraph.

    Returns:
        True for a value, False for a constant.
    """
    data = model.buffers[tensor.buffer].data
    return tensor.buffer == 0 or data is None or len(data) == 0


def tensor_name(model: Any, index: int) -> str:
    """The name of a tensor.

    Args:
        model: A `ModelT` of the schema.
        index: The tensor's place in the first subgraph.

    Returns:
        The name.
    """
    name: bytes = model.subgraphs[0].tensors[index].name
    return name.decode(errors="replace")


def value_names(model: Any, indices: Sequence[int]) -> list[str]:
    """The names of the tensors that are values; constants and absent inputs are left out.

    Args:
        model: A `ModelT` of the schema.
        indices: Places of tensors in the first subgraph.

    Returns:
        Names, in the given order.
    """
    tensors = model.subgraphs[0].tensors
    return [tensor_name(model, i) for i in indices if i >= 0 and is_value(model, tensors[i])]
