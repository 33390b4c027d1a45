"""From a float .tflite file to the int8 one, by ai-edge-quantizer with our ranges and weight scales."""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from compress.files.native_output import output_to
from compress.tflite.flatbuffer import op_name, pack, read_model, tensor_name, value_names
from compress.tflite.int8_grids import PIXEL_RANGE, ValueRange, merge_groups, value_scale, weight_bounds, widest_range
from compress.tflite.op_codes import TIED_KINDS, file_op_name
from search_spaces.ops import CONV, DEPTHWISE

ARG_MAX_INT8_VERSION = 2


def quantize_tflite(float_model: Path, samples: Sequence[np.ndarray], log: Path) -> bytes:
    """The int8 model of any float file, with the ranges of ai-edge-quantizer's own calibration.

    It serves files of networks that are not of a search space. Ours have ranges by `compress.tflite.ranges`.

    Args:
        float_model: The float .tflite file.
        samples: Images 1,H,W,bands in 0..1, float32.
        log: The file for what the quantizer prints.

    Returns:
        The bytes of the int8 .tflite file.
    """
    with output_to(log):
        from ai_edge_quantizer import quantizer, recipe

        signature, name = _signature(float_model)
        found = quantizer.Quantizer(str(float_model), recipe.static_wi8_ai8()).calibrate(
            {signature: [{name: sample} for sample in samples]}
        )
    ranges = {name: (float(seen["min"].min()), float(seen["max"].max())) for name, seen in found.items() if seen}
    return int8_tflite(float_model, ranges, log)


def int8_tflite(
    float_model: Path, ranges: Mapping[str, ValueRange], log: Path, float_tensors: Collection[str] = ()
) -> bytes:
    """The int8 model of a float file. Weights have a scale for each channel, values one for the whole tensor.

    Two ranges are corrected. That of the pixels is 0..1, so the int8 input is the byte minus 128. Values that a concat
    or a resize ties get the widest of their ranges.

    Args:
        float_model: The float .tflite file.
        ranges: The range of each value, by tensor name.
        log: The file for what the quantizer prints.
        float_tensors: The tensors whose ops stay in float.

    Returns:
        The bytes of the int8 .tflite file.
    """
    content = float_model.read_bytes()
    model = read_model(content)
    ranges = {**ranges, tensor_name(model, model.subgraphs[0].inputs[0]): PIXEL_RANGE}
    for names in tied_tensors(content):
        known = {name: ranges[name] for name in names if name in ranges}
        ranges |= dict.fromkeys(known, widest_range(known.values()))
    bounds = {
        name: _quantizer_range(np.full((1, 1, 1, 1), low), np.full((1, 1, 1, 1), high))
        for name, (low, high) in ranges.items()
    }
    weights = file_weight_bounds(content, {name: value_scale(found) for name, found in ranges.items()})
    bounds |= {name: _quantizer_range(-bound, bound) for name, bound in weights.items()}
    with output_to(log):
        from ai_edge_quantizer import quantizer, recipe
        from ai_edge_quantizer.qtyping import TFLOperationName

        quantizing = quantizer.Quantizer(str(float_model), recipe.static_wi8_ai8())
        for name in float_tensors:
            quantizing.update_quantization_recipe(
                f"^{re.escape(name)};$", TFLOperationName.ALL_SUPPORTED, algorithm_key="no_quantize"
            )
        quantized = quantizing.quantize(bounds).quantized_model
    return argmax_in_int8(bytes(quantized))


def _quantizer_range(low: np.ndarray, high: np.ndarray) -> dict[str, np.ndarray]:
    """A range as ai-edge-quantizer's calibration result spells it."""
    return {"min": low.astype(np.float32), "max": high.astype(np.float32)}


def _signature(path: Path) -> tuple[str, str]:
    """The name of a file's signature and of its input."""
    from ai_edge_litert.interpreter import Interpreter

    signatures = Interpreter(model_path=str(path)).get_signature_list()
    signature = next(iter(signatures))
    return signature, signatures[signature]["inputs"][0]


def tied_tensors(content: bytes) -> list[set[str]]:
    """The values of a file that share one range (`compress.tflite.int8_grids`).

    Args:
        content: The bytes of a .tflite file.

    Returns:
        Disjoint groups of tensor names.
    """
    model = read_model(content)
    tying = tuple(map(file_op_name, TIED_KINDS))
    operators = [operator for operator in model.subgraphs[0].operators if op_name(model, operator) in tying]
    return merge_groups({*value_names(model, o.inputs), *value_names(model, o.outputs)} for o in operators)


def file_weight_bounds(content: bytes, value_scales: Mapping[str, float]) -> dict[str, np.ndarray]:
    """The magnitudes that the weight scales of a float file must cover (`compress.tflite.int8_grids.weight_bounds`).

    Args:
        content: The bytes of the float .tflite file.
        value_scales: The int8 scale of each value, by tensor name.

    Returns:
        By the tensor name of the weights, the bound of each channel, in an array of four dimensions.
    """
    model = read_model(content)
    tensors = model.subgraphs[0].tensors
    convolutions = {file_op_name(kind): kind for kind in (CONV, DEPTHWISE)}
    bounds: dict[str, np.ndarray] = {}
    for operator in model.subgraphs[0].operators:
        kind = convolutions.get(op_name(model, operator))
        if kind is None:
            continue
        x, weight, bias = (tensors[i] for i in operator.inputs)
        channels_at = 3 if kind == DEPTHWISE else 0
        values, biases = (_floats(model, tensor) for tensor in (weight, bias))
        to_torch = (3, 0, 1, 2) if kind == DEPTHWISE else (0, 3, 1, 2)
        first = np.ascontiguousarray(values.reshape(weight.shape).transpose(to_torch))
        scale = torch.tensor(value_scales[x.name.decode()])
        bound = weight_bounds(torch.from_numpy(first), torch.from_numpy(biases), scale).numpy()
        name = weight.name.decode()
        shape = [-1 if axis == channels_at else 1 for axis in range(4)]
        bounds[name] = np.maximum(bounds.get(name, 0), bound.reshape(shape))
    return bounds


def _floats(model: Any, tensor: Any) -> np.ndarray:
    return np.frombuffer(model.buffers[tensor.buffer].data, np.float32).copy()


def argmax_in_int8(content: bytes) -> bytes:
    """The same file with each ARG_MAX reading the int8 logits themselves.

    The quantizer leaves ARG_MAX in float behind a DEQUANTIZE. One scale for all classes keeps the order of the logits.
    So the conversion changes nothing and costs time.

    Args:
        content: The bytes of the quantizer's .tflite file.

    Returns:
        The bytes of the changed file.
    """
    model = read_model(content)
    subgraph = model.subgraphs[0]
    made_by = {operator.outputs[0]: operator for operator in subgraph.operators}
    dropped = []
    for operator in subgraph.operators:
        feeder = made_by.get(operator.inputs[0]) if op_name(model, operator) == "ARG_MAX" else None
        if feeder is None or op_name(model, feeder) != "DEQUANTIZE":
            continue
        readers = [o for o in subgraph.operators if feeder.outputs[0] in o.inputs]
        operator.inputs = [feeder.inputs[0], *operator.inputs[1:]]
        model.operatorCodes[operator.opcodeIndex].version = ARG_MAX_INT8_VERSION
        if len(readers) == 1:
            dropped.append(feeder)
    subgraph.operators = [operator for operator in subgraph.operators if not any(operator is d for d in dropped)]
    return pack(model)
