"""python benchmarks/crops.py --work DIR [--data D]: what the side of crops, the loss and the augmentation are worth.

EfficientNet-Lite0 at a width multiplier with DeepLabV3+'s head is trained from ImageNet weights by the quick preset's
plan of a winner. A step keeps its pixels whatever the side of its crops (`--crop` of `nas.search`). Prints the float
mIoU over the validation split. WORK/NAME.json keeps what is done, so that the same command goes on, also with more
values. Give OMP_NUM_THREADS=1 with --jobs 2.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path

from baseline import machine, started

from compress.files.records import read_json, write_json
from compress.stages.cli import run_command
from compress.stages.config import RunConfig
from compress.stages.fitting import fit_network
from compress.stages.flag_values import parse_input_size
from compress.stages.run import Run
from compress.stages.side_by_side import end_with_parent
from search_spaces.known_networks import known_network


@dataclass(frozen=True)
class Asked:
    """One training. `crop_seed` chooses the crops and nothing else."""

    work: Path
    config: RunConfig
    multiplier: float
    steps: int
    crop_seed: int

    @property
    def name(self) -> str:
        one = self.config
        return f"{one.crop}-{one.loss}-{one.augment}-{one.class_weights}-{self.crop_seed}"


def trained(asked: Asked) -> float:
    """The float mIoU (0..1) of a training, which is done unless it was."""
    done = asked.work / f"{asked.name}.json"
    if not done.is_file():
        run = Run(asked.work / asked.name, asked.config)
        genotype = known_network("efficientnet_lite0", asked.multiplier, len(run.data.classes), run.config.input_size)
        network = started(run, genotype)
        schedule = replace(run.config.schedule("train"), steps=asked.steps)
        fit_network(run, network, schedule, run.path, asked.name, seed=asked.crop_seed)
        write_json(done, {"miou": run.miou(network)})
    return float(read_json(done, "delete it")["miou"])


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--work", type=Path, required=True, metavar="DIR")
    flags.add_argument("--data", default="landcover")
    flags.add_argument("--input-size", default="512")
    flags.add_argument("--multiplier", type=float, default=0.25)
    flags.add_argument("--steps", type=int, default=600)
    flags.add_argument("--crops", type=int, nargs="+", default=[96, 128, 192, 256])
    flags.add_argument("--losses", nargs="+", default=["ce"])
    flags.add_argument("--augments", nargs="+", default=["photo"])
    flags.add_argument("--class-weights", nargs="+", default=["root"])
    flags.add_argument("--crop-seeds", type=int, nargs="+", default=[2, 11])
    flags.add_argument("--jobs", type=int, default=2)
    given = flags.parse_args()
    size = parse_input_size(given.input_size)
    values = list(product(given.crops, given.losses, given.augments, given.class_weights))
    configs = [
        RunConfig(1e6, data=given.data, input_size=size, crop=crop, loss=loss, augment=augment, class_weights=weights)
        for crop, loss, augment, weights in values
    ]
    asked = [
        [Asked(given.work, config, given.multiplier, given.steps, seed) for seed in given.crop_seeds]
        for config in configs
    ]
    with ProcessPoolExecutor(given.jobs, get_context("spawn"), initializer=end_with_parent) as pool:
        found = [[pool.submit(trained, one) for one in row] for row in asked]
        print(f"{machine()}; {given.data} at {given.input_size}, times {given.multiplier:g}, {given.steps} steps\n")
        print("| crop | loss | augmentation | class weights | mIoU |\n|---|---|---|---|---|")
        for row, mious in zip(values, found, strict=True):
            text = ", ".join(f"{miou.result():.3f}" for miou in mious)
            print(f"| {' | '.join(map(str, row))} | {text} |", flush=True)


if __name__ == "__main__":
    run_command(main)
