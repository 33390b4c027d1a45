"""From a network to files: float .tflite and .onnx, and int8 .tflite by calibration."""

import logging
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from compress.tflite.ranges import PIXELS, Range, step_of
from compress.tflite.reader import argmax_in_int8, tied_tensors, weight_bounds
from search_spaces.network import Network, fold_batch_norm


class Deployed(nn.Module):
    """What an app runs: N,H,W,3 pixels in 0..1 to N,h,w class indices."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = fold_batch_norm(network)

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.network(pixels.permute(0, 3, 1, 2))
        return logits.permute(0, 2, 3, 1).argmax(-1)


def example_input(network: Network) -> Tensor:
    return torch.rand(1, *network.genotype.resolution, 3, generator=torch.Generator().manual_seed(0))


def write_float_tflite(network: Network, path: Path, log: Path) -> None:
    convert(Deployed(network), example_input(network), path, log)


def convert(deployed: nn.Module, example: Tensor, path: Path, log: Path) -> None:
    """Writes the float file with litert-torch; what the converter prints goes to `log`."""
    with printed_to(log):
        import litert_torch

        edge = litert_torch.convert(deployed.eval(), (example,))
        part = path.with_name(f"part-{path.name}")
        edge.export(str(part))
    part.replace(path)


def write_onnx(network: Network, path: Path, log: Path) -> None:
    """Float model through torch.onnx's exporter (opset 20), the same input and output as the .tflite."""
    part = path.with_name(f"part-{path.name}")
    with printed_to(log):
        torch.onnx.export(
            Deployed(network).eval(),
            (example_input(network),),
            part,
            input_names=["pixels"],
            output_names=["class_map"],
            opset_version=20,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    part.replace(path)


def quantize_tflite(float_model: Path, samples: Sequence[np.ndarray], log: Path) -> bytes:
    """The int8 model of any float file, its ranges by ai-edge-quantizer's own calibration from 1,H,W,3 float samples in
    0..1."""
    with printed_to(log):
        from ai_edge_quantizer import quantizer, recipe

        signature, name = _signature(float_model)
        found = quantizer.Quantizer(str(float_model), recipe.static_wi8_ai8()).calibrate(
            {signature: [{name: sample} for sample in samples]}
        )
    ranges = {name: (float(seen["min"].min()), float(seen["max"].max())) for name, seen in found.items() if seen}
    return int8_tflite(float_model, ranges, log)


def int8_tflite(float_model: Path, ranges: Mapping[str, Range], log: Path, floats: Collection[str] = ()) -> bytes:
    """The int8 model: per-channel weights, per-tensor activations with the given (low, high) by tensor name; the ops
    that make the tensors `floats` stay float.

    The ranges are mended in two ways: pixels are 0..1 (so int8 input is byte - 128), and values that a concat or a
    resize ties share the widest. Weights cover their largest magnitude, or more where the bias asks for it.
    """
    content = float_model.read_bytes()
    ranges = {**ranges, next(name for name in ranges if name.startswith("serving_default_")): PIXELS}
    for names in tied_tensors(content):
        known = [ranges[name] for name in names if name in ranges]
        widest = min(low for low, _ in known), max(high for _, high in known)
        ranges |= dict.fromkeys(names & ranges.keys(), widest)
    bounds = {
        name: _bounds(np.full((1, 1, 1, 1), low), np.full((1, 1, 1, 1), high)) for name, (low, high) in ranges.items()
    }
    weights = weight_bounds(content, {name: step_of(found) for name, found in ranges.items()})
    bounds |= {name: _bounds(-bound, bound) for name, bound in weights.items()}
    with printed_to(log):
        from ai_edge_quantizer import quantizer, recipe
        from ai_edge_quantizer.qtyping import TFLOperationName

        quantizing = quantizer.Quantizer(str(float_model), recipe.static_wi8_ai8())
        for name in floats:
            quantizing.update_quantization_recipe(
                f"^{re.escape(name)};$", TFLOperationName.ALL_SUPPORTED, algorithm_key="no_quantize"
            )
        quantized = quantizing.quantize(bounds).quantized_model
    return argmax_in_int8(bytes(quantized))


def _bounds(low: np.ndarray, high: np.ndarray) -> dict[str, np.ndarray]:
    return {"min": low.astype(np.float32), "max": high.astype(np.float32)}


def _signature(path: Path) -> tuple[str, str]:
    from ai_edge_litert.interpreter import Interpreter

    signatures = Interpreter(model_path=str(path)).get_signature_list()
    signature = next(iter(signatures))
    return signature, signatures[signature]["inputs"][0]


@contextmanager
def printed_to(log: Path) -> Iterator[None]:
    """Sends everything printed, by Python or by native code, to a file while a noisy library works."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    level = logging.root.manager.disable
    with log.open("ab") as file:
        try:
            logging.disable(logging.WARNING)
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            os.close(kept[0])
            os.close(kept[1])
            logging.disable(level)
