"""How far a file's ops compute what simulated int8 computes, each by itself.

Every op of the simulation is given the values that the file's ops before it made. So what differs is the op's own
doing. Class maps of the whole network tell less. A value that lies midway between two steps rounds in one of two ways,
and a network that was hardly trained makes other classes of that.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from compress.evaluation.tflite_file import as_fed
from compress.latency.timing import load
from compress.tflite.flatbuffer import op_name, pack, read_model
from compress.tflite.op_codes import file_op_name
from compress.tflite.simulated_int8 import FakeQuantized
from search_spaces.errors import InputError
from search_spaces.ops import ARGMAX, INPUT

CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")


def with_all_values(content: bytes) -> bytes:
    """A file that gives what each of its ops makes.

    Args:
        content: The bytes of a .tflite file.

    Returns:
        The bytes of the same file whose outputs are the outputs of its ops, without conversions to and from int8, in
        the order the ops run.
    """
    model = read_model(content)
    subgraph = model.subgraphs[0]
    operators = [one for one in subgraph.operators if op_name(model, one) not in CONVERSIONS]
    subgraph.outputs = [int(operator.outputs[0]) for operator in operators]
    model.signatureDefs = []  # they name the outputs of before
    return pack(model)


def file_values(content: bytes, pixels: np.ndarray) -> list[np.ndarray]:
    """Runs a file on an image.

    Args:
        content: The bytes of a .tflite file.
        pixels: The image h,w,bands as int8.

    Returns:
        The values h,w,c that each of its ops makes, conversions left out; int8, or float where an op runs in float.
    """
    all_values = with_all_values(content)
    interpreter = load(all_values, 1)
    (reads,) = interpreter.get_input_details()
    interpreter.set_tensor(reads["index"], as_fed(pixels, reads["dtype"])[None])
    interpreter.invoke()
    return [interpreter.get_tensor(index)[0] for index in read_model(all_values).subgraphs[0].outputs]


@torch.inference_mode()
def op_agreement(content: bytes, simulated: FakeQuantized, images: Sequence[tuple[Tensor, np.ndarray]]) -> float:
    """The share of an op's values that the simulation gives too, for the op with the smallest share.

    Args:
        content: The bytes of the int8 .tflite file.
        simulated: The network with int8 simulated, on the CPU.
        images: Each image as 1,bands,h,w in 0..1, and as h,w,bands in int8.

    Returns:
        The share (0..1) of values that are the same step of int8.

    Raises:
        InputError: The ops of the file are not those of the network.
    """
    model = read_model(content)
    made = [op_name(model, operator) for operator in model.subgraphs[0].operators]
    if [name for name in made if name not in CONVERSIONS] != [file_op_name(op.kind) for op in simulated.graph]:
        raise InputError("the ops of the int8 file are not those of the network; report this genotype")
    same = {op.name: 0.0 for op in simulated.graph if op.kind != ARGMAX and op.name not in simulated.float_ops}
    for image, pixels in images:
        values = {INPUT: simulated.on_grid(INPUT, image)}
        for op, found in zip(simulated.graph, file_values(content, pixels), strict=True):
            if op.kind == ARGMAX:
                continue
            if op.name in simulated.float_ops:
                values[op.name] = torch.from_numpy(found).permute(2, 0, 1)[None]
                continue
            scale, zero = simulated.grid(op.name)
            steps = simulated.run(op, values)[0].permute(1, 2, 0) / scale + zero
            same[op.name] += float((steps.round().numpy() == found).mean()) / len(images)
            values[op.name] = ((torch.from_numpy(found).float() - zero) * scale).permute(2, 0, 1)[None]
    return min(same.values())
