"""python benchmarks/camvid_network.py --data camvid:DIR --work WORK: trains the network of runs/camvid from ImageNet.

A CUDA device takes minutes, a CPU days. For each split, `train` and `both` (train and validation together), WORK gets
a folder with these trainings. Each has network.pt, log.csv and trained.json; the same command goes on after a kill.

base       the network of runs/camvid, from ImageNet, with --loss
network    `base` trained on with --more-loss
scratch    as `base`, from random weights (`train` alone)
short-NAME one for each of RECIPES, from ImageNet (`train` alone, with --short-steps): losses and rates compared

The mIoU of `both` in trained.json is over images that it was trained on; that of its twin in `train` is the figure.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from planned import PlannedConfig, one_plan
from trainings import TRAINED, Training, do_missing, figures, in_processes, network_of

from compress.data.calibration import calibration_images
from compress.data.dataset import DataSet
from compress.donors.loading import load_donor
from compress.donors.source import initial_weights_source
from compress.files.tensors import load_network, save_network
from compress.stages.cli import run_command
from compress.stages.fitting import fit_network
from compress.stages.run import Run
from compress.training.device import share_cores
from compress.training.plan import TrainingPlan
from compress.training.schedule import Schedule
from nas.inheritance.start import prepare_donor, start_network
from search_spaces.errors import InputError
from search_spaces.known_networks import compact_network
from search_spaces.network import Network

INPUT_SIZE, CLASSES = (360, 480), 11
BATCH, CROP, LR, MORE_LR, WEIGHT_DECAY = 16, 352, 1.5e-3, 5e-4, 0.05
TRAIN, BOTH = "train", "both"
DONOR = "efficientnet_lite0"
GENOTYPE = compact_network(0.75, CLASSES, INPUT_SIZE)

RECIPES = {  # losses and highest learning rate of the short trainings
    "ce": ("ce", LR),
    "ce-twice-the-rate": ("ce", 2 * LR),
    "dice": ("ce,dice=0.5", LR),
    "lovasz": ("ce,lovasz=0.5", LR),
}


@dataclass(frozen=True)
class Plan:
    """How long the trainings are.

    Attributes:
        steps: Steps of `base` and `scratch`.
        more_steps: Steps of `network` after those of `base`.
        short_steps: Steps of each recipe; 0 to train none.
        crop: Side of a crop in pixels.
        batch: Crops of a step.
        lr: Highest learning rate of `base` and `scratch`.
        loss: Losses of `base` and `scratch`, as `--loss` of a run takes them.
        more_loss: Losses of `network`.
    """

    steps: int
    more_steps: int
    short_steps: int
    crop: int
    batch: int
    lr: float
    loss: str
    more_loss: str

    def schedule(self, steps: int, lr: float) -> Schedule:
        """The schedule of a training of so many steps."""
        return Schedule(steps, self.batch, self.crop, lr, WEIGHT_DECAY)


class BothSplits(Run):
    """A run that trains on the training and the validation split."""

    @cached_property
    def data(self) -> DataSet:
        """The data set with every pair in the training split."""
        found = super().data
        return replace(found, train=found.train + found.val)


def imagenet_start(run: Run) -> Network:
    """The network that starts from ImageNet; WORK/starts keeps it."""
    file = run.path.parent / "starts" / "network.pt"
    if not file.is_file():
        torch.manual_seed(run.config.seed)
        network = Network(GENOTYPE)
        source = initial_weights_source(DONOR)
        assert source is not None
        donor = load_donor(source, CLASSES, INPUT_SIZE)
        start_network(network, prepare_donor(donor, calibration_images(run.data, INPUT_SIZE, torch.device("cpu"))))
        save_network(network, file)
    return load_network(file).train()


def random_start(run: Run) -> Network:
    """The network that starts from random weights."""
    torch.manual_seed(run.config.seed)
    return Network(GENOTYPE)


def base_start(run: Run) -> Network:
    """The network as `base` ended."""
    return network_of(run, "base").train()


def train(start: Callable[[Run], Network], loss: str, schedule: Schedule, seed: int, run: Run, folder: Path) -> Network:
    """Trains a network on the labels."""
    network = start(run)
    with_loss = type(run)(run.path, replace(run.config, loss=loss))
    fit_network(with_loss, network, schedule, folder, f"{run.path.name}/{folder.name}", seed)
    return network


def open_runs(work: Path, data: str, seed: int) -> dict[str, Run]:
    """The runs of both splits."""
    plan = TrainingPlan(1, BATCH, CROP)
    plans = one_plan(plan)
    config = PlannedConfig(
        budget_ms=22, data=data, input_size=INPUT_SIZE, seed=seed, augment="road", weights="none", plans=plans
    )
    return {TRAIN: Run(work / TRAIN, config), BOTH: BothSplits(work / BOTH, config)}


def trainings_of(plan: Plan, split: str) -> list[Training]:
    """The trainings of a split."""
    base, more = plan.schedule(plan.steps, plan.lr), plan.schedule(plan.more_steps, MORE_LR)
    made = [
        Training("base", partial(train, imagenet_start, plan.loss, base, 2)),
        Training("network", partial(train, base_start, plan.more_loss, more, 5), after=("base",)),
    ]
    if split == TRAIN:
        made.append(Training("scratch", partial(train, random_start, plan.loss, base, 2)))
        for name, (loss, lr) in RECIPES.items() if plan.short_steps else ():
            schedule = plan.schedule(plan.short_steps, lr)
            made.append(Training(f"short-{name}", partial(train, imagenet_start, loss, schedule, 2)))
    return made


def do(work: Path, asked: Mapping[str, Any], only: Sequence[str]) -> None:
    """Does trainings, those of `only` (SPLIT/NAME) or all, beside other processes that do the same."""
    share_cores(asked["beside"] or asked["jobs"])
    plan = Plan(**{field.name: asked[field.name] for field in fields(Plan)})
    runs = open_runs(work, asked["data"], asked["seed"])
    for split, run in runs.items():
        wanted = [one for one in trainings_of(plan, split) if not only or f"{split}/{one.name}" in only]
        do_missing(TRAINED, [run], wanted)


def show(work: Path, runs: Mapping[str, Run]) -> None:
    """Prints the table."""
    print("| split | training | M parameters | GMACs | float mIoU |\n|---|---|---|---|---|")
    for split, run in runs.items():
        for folder in sorted((work / split).glob("*")):
            found = figures(run, folder.name, TRAINED)
            if found:
                row = (found["params"] / 1e6, found["macs"] / 1e9, found["miou"])
                print(f"| {split} | {folder.name} | {row[0]:.2f} | {row[1]:.2f} | {row[2]:.4f} |")


def main() -> None:
    """Does the trainings and prints their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--steps", type=int, default=7292)
    parser.add_argument("--more-steps", type=int, default=1461)
    parser.add_argument("--short-steps", type=int, default=0)
    parser.add_argument("--crop", type=int, default=CROP)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--loss", default="ce,dice=0.5")
    parser.add_argument("--lr", type=float, default=LR, help="the highest rate of base and scratch")
    parser.add_argument("--more-loss", default="ce,lovasz=0.5")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--beside", type=int, default=0, help="processes that share the cores, where others do --only")
    parser.add_argument("--only", nargs="*", default=[], metavar="SPLIT/NAME")
    asked = parser.parse_args()
    if not asked.data.startswith("camvid:"):
        raise InputError(f"--data {asked.data}: give camvid:DIR")
    if asked.jobs == 1:
        do(asked.work, vars(asked), asked.only)
    else:
        in_processes(asked.jobs, do, asked.work, vars(asked), asked.only)
    show(asked.work, open_runs(asked.work, asked.data, asked.seed))


if __name__ == "__main__":
    run_command(main)
