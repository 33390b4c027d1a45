"""The files beside model.tflite: the same weights for runtimes that want another input or output."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from compress.evaluation.metrics import confusion, mean_iou
from compress.evaluation.onnx_file import run_onnx
from compress.evaluation.tflite_file import evaluate_tflite, read_runnable
from compress.files.atomic import write_atomically
from compress.files.tensors import load_network
from compress.stages.run import Run
from compress.stages.shipped_files import shipped_files
from compress.tflite.conversion import write_int8_onnx, write_onnx
from compress.tflite.metadata import ModelInfo, with_metadata
from compress.tflite.qdq_network import QDQNetwork
from compress.tflite.variants import with_class_map, with_logits_output, with_uint8_input
from search_spaces.ops import RGB_BANDS

UINT8, MEDIAPIPE, INT8_ONNX = "model.uint8.tflite", "model.mediapipe.tflite", "model.int8.onnx"


def write_variants(run: Run, model: bytes, log: Path) -> None:
    """Writes model.uint8.tflite, model.mediapipe.tflite, model.onnx and model.int8.onnx.

    MediaPipe feeds pictures of three bands. For other networks its file is left out, and a line says so.

    Args:
        run: The run, quantized.
        model: The bytes of model.tflite.
        log: The file for what the converters print.
    """
    network = run.network("distill")
    plain = with_uint8_input(with_class_map(model))  # for CPU runtimes, which run an argmax
    write_atomically(run.path / UINT8, plain)
    bands = network.genotype.bands
    if bands == RGB_BANDS:
        write_atomically(run.path / MEDIAPIPE, with_metadata(with_logits_output(plain), model_info(run)))
    else:
        print(f"export: {MEDIAPIPE} is left out: MediaPipe takes pictures of three bands, this network takes {bands}")
    write_onnx(network, run.path / "model.onnx", log)
    write_int8_onnx(int8_network(run, for_onnx=True), run.path / INT8_ONNX, log)


def int8_network(run: Run, *, for_onnx: bool) -> QDQNetwork:
    """The network of model.tflite with explicit quantize and dequantize ops.

    Args:
        run: The run, quantized.
        for_onnx: For ONNX Runtime, or for Core ML (`QDQNetwork`).

    Returns:
        The network in eval mode, with the ranges and the ops in float of model.tflite.
    """
    network, quantized = load_network(run.path / "quantize" / "network.pt"), run.metrics("quantize")
    return QDQNetwork(network, quantized["ranges"], quantized["float_ops"], for_onnx=for_onnx).eval()


def model_info(run: Run) -> ModelInfo:
    """What the metadata of a file say of a run's model.

    Args:
        run: The run.

    Returns:
        Name, description and labels.
    """
    space, data = run.genotype.space, run.config.data.partition(":")[0]
    description = f"Semantic segmentation of {len(run.data.classes)} classes ({space}, trained on {data})"
    return ModelInfo(run.path.name, description, "1", "", tuple(run.data.classes))


def variant_figures(run: Run, maps: list[np.ndarray]) -> dict[str, float]:
    """Runs every variant over the validation split.

    Args:
        run: The run, exported.
        maps: The class maps h,w of model.tflite.

    Returns:
        For each variant its mIoU (0..1), and its agreement (0..1) with model.tflite.
    """
    found: dict[str, float] = {}
    network = run.network("distill")
    files = {"uint8": UINT8, "mediapipe": MEDIAPIPE}
    for name, file in files.items():
        if file not in shipped_files(network.genotype.bands):
            continue
        counts, same = evaluate_tflite(read_runnable(run.path / file), network, run.validation, f"verify {file}")
        found[f"{name}_miou"] = mean_iou(counts)
        found[f"{name}_agreement"] = _share_alike(same, maps)
        del same  # the maps of a large split take gigabytes
    in_onnx = run_onnx(run.path / INT8_ONNX, network.genotype.resolution, run.validation, len(run.validation))
    found["int8_onnx_miou"] = mean_iou(_counts(in_onnx, run))
    found["int8_onnx_agreement"] = _share_alike(in_onnx, maps)
    return found


def _share_alike(maps: list[np.ndarray], others: list[np.ndarray]) -> float:
    """The mean share (0..1) of pixels to which two files give the same class."""
    return float(np.mean([np.mean(a == b) for a, b in zip(maps, others, strict=True)]))


def _counts(maps: list[np.ndarray], run: Run) -> Tensor:
    """Pixel counts classes,classes (truth, predicted) of class maps over the split."""
    classes = len(run.data.classes)
    counted = (
        confusion(torch.from_numpy(class_map)[None].long(), mask[None].long(), classes, run.validation.ignore)
        for class_map, mask in zip(maps, run.validation.masks, strict=True)
    )
    return torch.stack(list(counted)).sum(0)
