"""Trainings of a benchmark, kept in a work folder: a killed run goes on, and several processes share the work.

WORK/seed-N is a run folder, and each training has a folder in it: network.pt (with ranges.json when it was trained in
int8) and trained.json; then float.tflite, an int8 file for each range estimator and shipped.json; last latency.json.
The three steps are apart: only the last needs a quiet machine, and a process that has converted (the converter starts
threads) had better not fork the processes that load crops.
"""

import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from compress.data.calibration import calibration_images
from compress.evaluation.metrics import mean_iou
from compress.evaluation.tflite_file import evaluate_tflite
from compress.files.atomic import try_lock, write_atomically
from compress.files.records import read_json, write_json
from compress.files.tensors import load_network, save_network
from compress.stages.fitting import CHECKPOINT
from compress.stages.run import Run
from compress.stages.side_by_side import end_with_parent
from compress.tflite.conversion import write_float_tflite
from compress.tflite.int8_grids import ValueRanges
from compress.tflite.quantization import int8_tflite
from compress.tflite.ranges import DEFAULT_ESTIMATOR, observe_ranges
from compress.tflite.reader import check_all_int8, tensor_names
from search_spaces import costs
from search_spaces.network import Network

WAIT_SECONDS = 2.0
LEARNED = "learned"  # ranges of a network trained in int8
TRAINED, SHIPPED, LATENCY = "trained.json", "shipped.json", "latency.json"
REMEDY = "delete it and run the benchmark again"


@dataclass(frozen=True)
class Training:
    """`train(run, folder)` makes a network once those named in `after` are made. Ranges that `estimators` find make
    its int8 files, unless it has learned its own. Its files are timed when a table shows their latency."""

    name: str
    train: Callable[[Run, Path], Network]
    after: tuple[str, ...] = ()
    estimators: tuple[str, ...] = (DEFAULT_ESTIMATOR,)
    timed: bool = False


def network_of(run: Run, name: str) -> Network:
    return load_network(run.path / name / "network.pt")


def figures(run: Run, name: str, step: str) -> dict[str, Any] | None:
    """What a step has found, or None before it."""
    path = run.path / name / step
    found: dict[str, Any] | None = read_json(path, REMEDY) if path.is_file() else None
    return found


def do_missing(step: str, runs: Sequence[Run], trainings: Sequence[Training]) -> None:
    """Trains (TRAINED) or ships (SHIPPED), with whatever other processes do the same, until it is done with all."""
    do = {TRAINED: train, SHIPPED: ship}[step]
    while left := [(run, one) for run in runs for one in trainings if figures(run, one.name, step) is None]:
        taken = False
        for run, one in left:
            if all(figures(run, name, TRAINED) is not None for name in one.after):
                with try_lock(run.path / one.name / "lock") as free:
                    if free and figures(run, one.name, step) is None:
                        taken = True
                        do(run, one)
        if not taken:
            time.sleep(WAIT_SECONDS)


def train(run: Run, one: Training) -> None:
    folder = run.path / one.name
    print(f"{run.path.name}/{one.name}", flush=True)
    network = one.train(run, folder)
    found = {
        "miou": run.miou(network),
        "params": costs.params(network.graph),
        "macs": costs.macs(network.graph),
        "genotype": str(network.genotype),
    }
    save_network(network.cpu(), folder / "network.pt")
    write_json(folder / TRAINED, found)
    for leftover in (CHECKPOINT, "rounds.pt"):
        (folder / leftover).unlink(missing_ok=True)


def ship(run: Run, one: Training) -> None:
    """Makes, checks and runs the files of a trained network."""
    folder = run.path / one.name
    network, log = network_of(run, one.name), folder / "convert.log"
    file = folder / "float.tflite"
    images = [image.cpu() for image in calibration_images(run.data, network.genotype.resolution, run.device)]
    write_float_tflite(network, file, log)
    names = tensor_names(file.read_bytes(), network.graph)
    int8 = {}
    for estimator, ranges in all_ranges(network, folder, one.estimators, images).items():
        model = int8_tflite(file, {names[value]: found for value, found in ranges.items()}, log)
        check_all_int8(model)
        write_atomically(folder / f"{estimator}.tflite", model)
        int8[estimator] = {"miou": miou_of(run, network, model, f"{one.name} {estimator}"), "size_bytes": len(model)}
    float_model = file.read_bytes()
    found = {
        "float_miou": miou_of(run, network, float_model, f"{one.name} float"),
        "float_size_bytes": len(float_model),
        "int8": int8,
    }
    write_json(folder / SHIPPED, found)


def main_file(int8: Mapping[str, Any]) -> str:
    """Of the int8 files of a network, the one that stands for it."""
    return DEFAULT_ESTIMATOR if DEFAULT_ESTIMATOR in int8 else LEARNED


def all_ranges(
    network: Network, folder: Path, estimators: Sequence[str], images: list[torch.Tensor]
) -> dict[str, ValueRanges]:
    learned = folder / "ranges.json"
    if learned.is_file():
        return {LEARNED: {name: (low, high) for name, (low, high) in read_json(learned, REMEDY).items()}}
    return {estimator: observe_ranges(network, images, estimator) for estimator in estimators}


def miou_of(run: Run, network: Network, model: bytes, title: str) -> float:
    """Over the validation split, as LiteRT runs the file."""
    return mean_iou(evaluate_tflite(model, network, run.validation, title)[0])


def measure_missing(runs: Sequence[Run], trainings: Sequence[Training], seconds: float) -> None:
    """Times the float file and the main int8 file of networks, in turns on one core."""
    left = [
        run.path / one.name
        for run in runs
        for one in trainings
        if one.timed and figures(run, one.name, SHIPPED) is not None and figures(run, one.name, LATENCY) is None
    ]
    for folder in tqdm(left, desc="latency", unit="network", dynamic_ncols=True):
        int8 = main_file(read_json(folder / SHIPPED, REMEDY)["int8"])
        files = (folder / "float.tflite", folder / f"{int8}.tflite")
        float_latency, latency = runs[0].target.measure([file.read_bytes() for file in files], seconds)
        write_json(folder / LATENCY, {"float_ms": float_latency.ms, "ms": latency.ms})


def in_processes(count: int, work: Callable[..., None], *arguments: Any) -> None:
    """Runs `work(*arguments)` in so many processes at a time; what one raises is raised here."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=end_with_parent) as pool:
        done = [pool.submit(work, *arguments) for _ in range(count)]
    for one in done:
        one.result()
