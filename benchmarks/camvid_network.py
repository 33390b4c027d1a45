"""python benchmarks/camvid_network.py --data camvid:DIR --work WORK: trains the network of runs/camvid from ImageNet.

A CUDA device takes minutes, a CPU days. For each split, `train` and `both` (train and validation together), WORK gets
a folder with these trainings. Each has network.pt, log.csv and trained.json; the same command goes on after a kill.

teacher    the whole of EfficientNet-Lite0 with a large head, from ImageNet
taught     the network of runs/camvid, from ImageNet, with `teacher`
network    `taught` trained on, without a teacher
scratch    the same network from random weights, without a teacher (`train` alone)
shortNAME  networks that were compared first: each of CANDIDATES, from ImageNet (`train` alone, with --short-steps)

The mIoU of `both` in trained.json is over images that it was trained on; that of its twin in `train` is the figure.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from planned import PlannedConfig
from trainings import TRAINED, Training, do_missing, figures, in_processes, network_of

from compress.data.calibration import calibration_images
from compress.data.dataset import DataSet
from compress.distillation.teachers import own_teacher
from compress.distillation.teaching import Teaching
from compress.donors.loading import load_donor
from compress.donors.source import initial_weights_source
from compress.files.tensors import load_network, save_network
from compress.stages.cli import run_command
from compress.stages.fitting import fit_network
from compress.stages.presets import Preset
from compress.stages.run import Run
from compress.training.device import share_cores
from compress.training.plan import TrainingPlan
from compress.training.schedule import Schedule
from nas.inheritance.start import prepare_donor, start_network
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.known_networks import known_backbone, known_network
from search_spaces.network import Network

INPUT_SIZE, CLASSES = (360, 480), 11
BATCH, CROP, LR, MORE_LR, WEIGHT_DECAY = 16, 352, 1.5e-3, 1e-3, 0.05
TEACHING_TERMS = {"cwd": 3.0}
TRAIN, BOTH = "train", "both"
DONOR_OF = {"lite0": "efficientnet_lite0", "lite0deep": "efficientnet_lite0", "mobilenet": "mobilenet_v2"}


def small_network(donor: str, multiplier: float, stages: int, depth: int, expansion: int, width: int) -> Genotype:
    """A donor's backbone made smaller, with the head of the network that was searched from scratch."""
    backbone = known_backbone(donor, multiplier, stages=stages, max_depth=depth, kernel=3, expansion=expansion)
    aspp = {"aspp_rates": (6,), "image_pooling": True, "aspp_widths": (width,) * 3, "aspp_out": width}
    decoder = {"low_level": 48, "decoder": (64, 64), "head_stride": 1}
    return known_network(donor, multiplier, CLASSES, INPUT_SIZE, backbone=backbone, output_stride=8, **aspp, **decoder)


CANDIDATES = {
    "lite0": small_network("efficientnet_lite0", 0.75, stages=6, depth=2, expansion=4, width=128),
    "lite0deep": small_network("efficientnet_lite0", 0.6, stages=6, depth=3, expansion=4, width=128),
    "mobilenet": small_network("mobilenet_v2", 0.5, stages=7, depth=4, expansion=6, width=128),
}


@dataclass(frozen=True)
class Plan:
    """How long the trainings are.

    Attributes:
        steps: Steps of `taught` and `scratch`.
        more_steps: Steps of `network` after those of `taught`.
        teacher_steps: Steps of `teacher`.
        short_steps: Steps of each candidate; 0 to train none.
        crop: Side of a crop in pixels.
        batch: Crops of a step.
    """

    steps: int
    more_steps: int
    teacher_steps: int
    short_steps: int
    crop: int
    batch: int

    def schedule(self, steps: int, lr: float = LR) -> Schedule:
        """The schedule of a training of so many steps."""
        return Schedule(steps, self.batch, self.crop, lr, WEIGHT_DECAY)


class BothSplits(Run):
    """A run that trains on the training and the validation split."""

    @cached_property
    def data(self) -> DataSet:
        """The data set with every pair in the training split."""
        found = super().data
        return replace(found, train=found.train + found.val)


def start_of(run: Run, name: str, genotype: Genotype) -> Network:
    """A candidate that starts from ImageNet; WORK/starts keeps it."""
    file = run.path.parent / "starts" / f"{name}.pt"
    if not file.is_file():
        torch.manual_seed(run.config.seed)
        network = Network(genotype)
        donor = load_donor(source_of(DONOR_OF[name]), CLASSES, INPUT_SIZE)
        start_network(network, prepare_donor(donor, calibration_images(run.data, INPUT_SIZE, torch.device("cpu"))))
        save_network(network, file)
    return load_network(file).train()


def source_of(donor: str) -> Any:
    """Where the donor's weights are."""
    source = initial_weights_source(donor)
    assert source is not None
    return source


def teacher_start(run: Run) -> Network:
    """The whole donor with a large head; WORK/starts keeps it."""
    file = run.path.parent / "starts" / "teacher.pt"
    if not file.is_file():
        torch.manual_seed(run.config.seed)
        aspp = {"aspp_rates": (6, 12), "aspp_widths": (256,) * 4}
        donor = source_of("efficientnet_lite0")
        save_network(load_donor(donor, CLASSES, INPUT_SIZE, output_stride=16, **aspp, decoder=(128, 128)), file)
    return load_network(file).train()


def train_teacher(plan: Plan, run: Run, folder: Path) -> Network:
    """Trains the teacher on the labels."""
    network = teacher_start(run)
    fit_network(run, network, plan.schedule(plan.teacher_steps), folder, title_of(run, folder), seed=1)
    return network


def train_network(plan: Plan, name: str, steps: int, taught: bool, run: Run, folder: Path) -> Network:
    """Trains a candidate that starts from ImageNet."""
    network = start_of(run, name, CANDIDATES[name])
    teaching = None
    if taught:
        teacher = own_teacher(network_of(run, "teacher"), INPUT_SIZE, run.device)
        teaching = Teaching(teacher, TEACHING_TERMS, str(TEACHING_TERMS))
    fit_network(run, network, plan.schedule(steps), folder, title_of(run, folder), seed=2, teaching=teaching)
    return network


def train_more(plan: Plan, run: Run, folder: Path) -> Network:
    """Trains the taught network on, without the teacher."""
    network = network_of(run, "taught").train()
    schedule = plan.schedule(plan.more_steps, MORE_LR)
    fit_network(run, network, schedule, folder, title_of(run, folder), seed=5)
    return network


def train_scratch(plan: Plan, name: str, run: Run, folder: Path) -> Network:
    """Trains a candidate that starts from random weights."""
    torch.manual_seed(run.config.seed)
    network = Network(CANDIDATES[name])
    fit_network(run, network, plan.schedule(plan.steps), folder, title_of(run, folder), seed=2)
    return network


def title_of(run: Run, folder: Path) -> str:
    """What progress bars call a training."""
    return f"{run.path.name}/{folder.name}"


def open_runs(work: Path, data: str, seed: int) -> dict[str, Run]:
    """The runs of both splits."""
    plan = TrainingPlan(1, BATCH, CROP)
    plans = Preset(*(plan,) * 6, trials=1, finalists=1)
    config = PlannedConfig(
        budget_ms=22, data=data, input_size=INPUT_SIZE, seed=seed, augment="road", weights="none", plans=plans
    )
    return {TRAIN: Run(work / TRAIN, config), BOTH: BothSplits(work / BOTH, config)}


def trainings_of(plan: Plan, split: str, name: str) -> list[Training]:
    """The trainings of a split, the teacher first."""
    made = [Training("teacher", partial(train_teacher, plan))]
    made.append(Training("taught", partial(train_network, plan, name, plan.steps, True), after=("teacher",)))
    made.append(Training("network", partial(train_more, plan), after=("taught",)))
    if split == TRAIN:
        made.append(Training("scratch", partial(train_scratch, plan, name)))
        made += [
            Training(f"short{one}", partial(train_network, plan, one, plan.short_steps, False))
            for one in CANDIDATES
            if plan.short_steps
        ]
    return made


def do(work: Path, asked: Mapping[str, Any], only: Sequence[str]) -> None:
    """Does trainings, those of `only` (SPLIT/NAME) or all, beside other processes that do the same."""
    share_cores(asked["beside"] or asked["jobs"])
    plan = Plan(*(asked[field] for field in ("steps", "more_steps", "teacher_steps", "short_steps", "crop", "batch")))
    runs = open_runs(work, asked["data"], asked["seed"])
    for split, run in runs.items():
        wanted = [
            one for one in trainings_of(plan, split, asked["network"]) if not only or f"{split}/{one.name}" in only
        ]
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
    parser.add_argument("--network", choices=tuple(CANDIDATES), default="lite0")
    parser.add_argument("--steps", type=int, default=2379)
    parser.add_argument("--more-steps", type=int, default=560)
    parser.add_argument("--teacher-steps", type=int, default=1782)
    parser.add_argument("--short-steps", type=int, default=0)
    parser.add_argument("--crop", type=int, default=CROP)
    parser.add_argument("--batch", type=int, default=BATCH)
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
