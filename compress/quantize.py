"""python -m compress.quantize RUN: converts the distilled network to TFLite and quantizes it to int8 with real images.

Leaves RUN/quantize/model.float.tflite and model.tflite, whose mIoU and latency are those of the files as run by
LiteRT. Every op of the int8 file is int8, or the stage fails and names the op.
"""

import time

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from compress.batches import at_resolution
from compress.convert import quantize_tflite, write_float_tflite
from compress.data import read_pair
from compress.metrics import mean_iou
from compress.run import write_atomically
from compress.stage import Run, cost_metrics, stage_command, write_metrics
from compress.tflite import check_all_int8
from compress.verify import evaluate_tflite

CALIBRATION_IMAGES = 32


def quantize(run: Run) -> None:
    begun = time.monotonic()
    folder = run.path / "quantize"
    network = run.network("distill")
    log = folder / "convert.log"
    float_model, made = folder / "model.float.tflite", run.made("quantize")
    write_float_tflite(network, float_model, log)
    int8 = quantize_tflite(float_model, calibration_samples(run, network.genotype.resolution), log)
    check_all_int8(int8)
    write_atomically(made, int8)
    float_latency, latency = run.target.measure([float_model.read_bytes(), int8])
    with tqdm(total=2 * len(run.validation), desc="quantize: validation", unit="image", dynamic_ncols=True) as bar:
        float_counts, _ = evaluate_tflite(float_model.read_bytes(), network, run.validation, bar)
        counts, _ = evaluate_tflite(int8, network, run.validation, bar)
    metrics = {
        "miou": mean_iou(counts),
        "latency_ms": latency.ms,
        **cost_metrics(run, network),
        "size_bytes": made.stat().st_size,
        "wall_s": time.monotonic() - begun,
        "float_miou": mean_iou(float_counts),
        "float_latency_ms": float_latency.ms,
        "float_size_bytes": float_model.stat().st_size,
    }
    write_metrics(run, "quantize", metrics, folder)


def calibration_samples(run: Run, resolution: tuple[int, int]) -> list[np.ndarray]:
    """Training images 1,H,W,3 in 0..1 at a network's resolution, evenly spread over the split."""
    pairs = run.data.train[:: max(1, len(run.data.train) // CALIBRATION_IMAGES)][:CALIBRATION_IMAGES]
    return [to_pixels(at_resolution(_bytes(read_pair(pair, run.data)[0]), resolution)) for pair in pairs]


def _bytes(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]


def to_pixels(images: Tensor) -> np.ndarray:
    """N,3,H,W to what a file takes: N,H,W,3."""
    return np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())


if __name__ == "__main__":
    stage_command("quantize", __doc__, quantize)
