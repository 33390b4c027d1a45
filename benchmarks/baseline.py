"""What SlimLab is compared with, and what every benchmark needs: a hand-made network, trained, quantized, measured.

The network is the one mobile engineers start from, DeepLabV3+ (Chen et al. 2018) on MobileNetV2 (Sandler et al. 2018),
depthwise separable in ASPP and decoder, every width times one multiplier.
"""

import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from compress.data.calibration import calibration_images
from compress.evaluation.metrics import mean_iou
from compress.evaluation.tflite_file import evaluate_tflite
from compress.files.genotypes import read_genotype
from compress.latency.targets import HostTarget
from compress.stages.fitting import fit_network
from compress.stages.run import SEARCH, Run
from compress.tflite.conversion import write_float_tflite
from compress.tflite.quantization import quantize_tflite
from compress.tflite.writer import random_weight_model
from nas.finals import as_finalist
from nas.start import open_start, started_network
from search_spaces import graph_of
from search_spaces.genotype import Genotype
from search_spaces.known_networks import known_network
from search_spaces.network import Network

MULTIPLIERS = tuple(m / 40 for m in range(4, 57))  # 0.1 to 1.4


def mobilenetv2(multiplier: float, classes: int, input_size: tuple[int, int]) -> Genotype:
    """The baseline at a width multiplier; its class map is four times smaller than the image."""
    return known_network("mobilenet_v2", multiplier, classes, input_size)


def scaled_to(latency_ms: float, classes: int, input_size: tuple[int, int]) -> Genotype:
    """The widest baseline that is measured at or below a latency on this machine, found by bisection."""
    target = HostTarget()

    def measured(index: int) -> float:
        graph = graph_of(mobilenetv2(MULTIPLIERS[index], classes, input_size))
        return target.measure([random_weight_model(graph)])[0].ms

    low, high = 0, len(MULTIPLIERS) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if measured(middle) <= latency_ms else (low, middle - 1)
    return mobilenetv2(MULTIPLIERS[low], classes, input_size)


def trained(run: Run, network: Network, steps: int, folder: Path) -> Network:
    """A network trained in place as the run trains its finalists, for `steps`; a killed training goes on."""
    schedule = as_finalist(run, replace(run.config.schedule("train"), steps=steps))
    fit_network(run, network, schedule, folder, folder.name, seed=2)
    return network


def untrained(run: Run, genotype: Genotype) -> Network:
    """With random weights of the run's seed."""
    torch.manual_seed(run.config.seed)
    return Network(genotype)


def started(run: Run, genotype: Genotype) -> Network:
    """With the weights that a network of the run starts from."""
    return started_network(run, open_start(run), genotype)


def search(place: Path, **flags: object) -> Genotype:
    """The winner of `python -m nas.search --search-only` in the run folder PLACE; a killed search goes on."""
    given = (f"--{name.replace('_', '-')}={value}" for name, value in flags.items())
    command = [sys.executable, str(Path(__file__).with_name("search_at.py")), str(place.resolve()), *given]
    subprocess.run([*command, "--search-only", "--resume"], check=True)
    return read_genotype(place / "genotype.json", "run the benchmark again")


def reuse_supernet(there: Path, here: Path) -> None:
    """For a run folder that is not begun: another of the same budget and seed would train the same supernet, if any."""
    (here / SEARCH).mkdir(parents=True, exist_ok=True)
    for file in (there / SEARCH / "supernet.pt", there / SEARCH / "supernet.json"):
        if file.exists():
            shutil.copy(file, here / SEARCH)


@dataclass(frozen=True)
class Shipped:
    """An int8 file: its mIoU (0..1) over the validation split as LiteRT runs it, its median ms, its bytes."""

    miou: float
    latency_ms: float
    size_bytes: int


def ship(run: Run, network: Network, folder: Path) -> Shipped:
    """Converts a trained network, quantizes it after training (min-max ranges), runs and measures the file."""
    write_float_tflite(network.cpu().eval(), folder / "float.tflite", folder / "convert.log")
    images = calibration_images(run.data, network.genotype.resolution, run.device)
    samples = [image.permute(0, 2, 3, 1).cpu().numpy() for image in images]
    int8 = quantize_tflite(folder / "float.tflite", samples, folder / "convert.log")
    counts, _ = evaluate_tflite(int8, network, run.validation, "int8")
    return Shipped(mean_iou(counts), HostTarget().measure([int8], seconds=3.0)[0].ms, len(int8))


def machine() -> str:
    """One line for the head of a table of results."""
    facts = HostTarget().facts()
    return (
        f"{facts['processor']}, {facts['cores']} cores, Python {platform.python_version()}, {facts['runtime']}, "
        f"{time.strftime('%Y-%m-%d')}"
    )
