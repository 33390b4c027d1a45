"""Converts the distilled network to
TFLite and quantizes it to int8 with real images.

Leaves RUN/quantize/model.float.tflite and model.tflite, whose mIoU and latency are those of the files as run by
LiteRT, and network.pt, the float network that the int8 file was made from: the distilled one, or with --qat-steps that
one trained on with int8 simulated. Every op of the int8 file is int8, or the stage fails and names the op; only when
int8 costs more than --max-drop do the worst layers run in float, one at a time, each named with what it costs.
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from compress.data.dataset import read_pair
from compress.data.resizing import at_resolution
from compress.distillation.teachers import own_teacher
from compress.distillation.teaching import Teaching
from compress.evaluation.evaluate import evaluate_tflite
from compress.evaluation.metrics import mean_iou
from compress.files.atomic import write_atomically
from compress.files.tensors import save_network
from compress.stages.fitting import fit_network
from compress.stages.records import cost_metrics, write_metrics
from compress.stages.run import METRICS, Run
from compress.tflite.conversion import write_float_tflite
from compress.tflite.fallback import Source, fall_back
from compress.tflite.ranges import DEFAULT, Ranges, observe_ranges
from compress.tflite.simulated_int8 import fake_quantize
from search_spaces.errors import InputError
from search_spaces.network import Network

CALIBRATION_IMAGES = 32
RANKING_IMAGES = 2
MAX_DROP = 0.003  # mIoU below the float file's
QAT_LR = 5e-4


def quantize(run: Run, ranges: str = DEFAULT, qat_steps: int = 0, max_drop: float = MAX_DROP) -> None:
    if qat_steps < 0:
        raise InputError(f"--qat-steps {qat_steps}: give 0 or a positive number")
    if not 0 <= max_drop <= 1:
        raise InputError(f"--max-drop {max_drop:g}: give a fraction of 0 to 1")
    begun = time.monotonic()
    folder = run.path / "quantize"
    (folder / METRICS).unlink(missing_ok=True)  # from here on the folder is half-written
    network = run.network("distill").to(run.device)
    images = calibration_images(run, network.genotype.resolution)
    pairs = [(network, observe_ranges(network, images, ranges))]
    if qat_steps:  # before anything is converted: the converter starts threads, and loading crops forks
        pairs.append(train_in_int8(run, *pairs[0], qat_steps, folder))
    files = (folder / "model.float.tflite", folder / "trained.float.tflite")
    sources = [converted(*pair, file, images) for pair, file in zip(pairs, files, strict=False)]
    float_model = files[0].read_bytes()
    float_latency = run.target.measure([float_model])[0]
    with tqdm(total=len(run.validation), desc="float: validation", unit="image", dynamic_ncols=True) as bar:
        float_miou = mean_iou(evaluate_tflite(float_model, network, run.validation, bar)[0])
    least = float_miou - max_drop
    made = [source.int8(run) for source in sources]
    enough = any(file.miou >= least for file in made)
    tries = [fall_back(run, *pair, 0.0 if enough else least) for pair in zip(sources, made, strict=True)]
    # enough accuracy first, then the fewest ops in float
    best = max(tries, key=lambda tried: (min(tried.made.miou, least), -len(tried.made.floats), tried.made.miou))
    source, int8 = best.source, best.made
    if int8.miou < least:
        print(
            f"quantize: int8 costs {float_miou - int8.miou:.4f} mIoU, more than --max-drop {max_drop:g}; "
            "train in int8 with (more) --qat-steps"
        )
    save_network(source.network.cpu(), folder / "network.pt")
    write_atomically(run.made("quantize"), int8.content)
    metrics = {
        "miou": int8.miou,
        "latency_ms": int8.latency_ms,
        **cost_metrics(run, network),
        "size_bytes": len(int8.content),
        "wall_s": time.monotonic() - begun,
        "float_miou": float_miou,
        "float_latency_ms": float_latency.ms,
        "float_size_bytes": len(float_model),
        "estimator": ranges,
        "qat_steps": qat_steps,
        "max_drop": max_drop,
        "all_int8_miou": [file.miou for file in made],  # as distilled, and trained in int8
        "ranges": source.ranges,
        "logits_error_without": best.ranking,
        "fallbacks": best.steps,
        "float_ops": {op: source.names[op] for op in sorted(int8.floats)},
    }
    write_metrics(run, "quantize", metrics, folder)
    for leftover in (folder / "checkpoint.pt", files[1]):
        leftover.unlink(missing_ok=True)


def train_in_int8(run: Run, network: Network, ranges: Ranges, steps: int, folder: Path) -> tuple[Network, Ranges]:
    """Quantization-aware fine-tuning: weights and ranges learn with int8 simulated, taught by the float network."""
    simulated = fake_quantize(network, ranges)
    schedule = replace(run.config.schedule("recover"), steps=steps, lr=QAT_LR)
    teaching = Teaching(own_teacher(network, run.config.input_size, run.device), {"kl": 1.0}, "itself in float")
    fit_network(run, simulated, schedule, folder, "quantize: training in int8", seed=50, teaching=teaching)
    return simulated.plain().to(run.device), simulated.ranges()


def converted(network: Network, ranges: Ranges, path: Path, images: list[Tensor]) -> Source:
    """Writes a network's float file."""
    device = next(network.parameters()).device
    write_float_tflite(network.cpu(), path, path.with_name("convert.log"))
    return Source(network.to(device), path, ranges, images[:RANKING_IMAGES])


def calibration_images(run: Run, resolution: tuple[int, int]) -> list[Tensor]:
    """Training images 1,3,h,w in 0..1 at a network's resolution, evenly spread over the split."""
    pairs = run.data.train[:: max(1, len(run.data.train) // CALIBRATION_IMAGES)][:CALIBRATION_IMAGES]
    images = (np.ascontiguousarray(read_pair(pair, run.data)[0].transpose(2, 0, 1)) for pair in pairs)
    return [at_resolution(torch.from_numpy(image)[None], resolution).to(run.device) for image in images]
