"""python benchmarks/rare_classes.py --data camvid:DIR --work DIR: what crops placed on rare classes are worth.

The same network is trained with the same steps in each of VARIANTS, three seeds each: class weights alone, crops placed
on rare classes (--sampling rare) with class weights, and Dice beside the cross-entropy with class weights. A table has
the IoU of the rare classes and mIoU over the validation split, mean and standard deviation over the seeds.

WORK/results.json keeps what is done, and the same command goes on after a kill. --device cuda takes a GPU. --weights is
that of nas.search: `imagenet`, `none` or a network.pt. On a CPU use one core for each process (OMP_NUM_THREADS=1).
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from inheritance import half_network
from planned import PlannedConfig, one_plan

from compress.evaluation.metrics import iou_per_class, mean_iou
from compress.evaluation.network import evaluate_network
from compress.files.records import read_json, write_json
from compress.stages.cli import run_command
from compress.stages.fitting import fit_network
from compress.stages.flag_values import parse_input_size
from compress.stages.run import Run
from compress.training.plan import TrainingPlan
from compress.training.schedule import Schedule
from nas.start import open_start
from search_spaces.network import Network

LR, WEIGHT_DECAY = 2e-3, 0.05
VARIANTS: dict[str, dict[str, Any]] = {
    "class weights": {},
    "class weights, rare": {"sampling": "rare"},
    "class weights, Dice": {"loss": "ce,dice=0.5"},
}
RARE = ("pole", "sign", "pedestrian", "bicyclist")
REMEDY = "delete it"


def run_of(asked: argparse.Namespace, variant: str, seed: int) -> Run:
    """The run of a training.

    Args:
        asked: The flags.
        variant: A key of VARIANTS.
        seed: Chooses the crops and the weights of the head.

    Returns:
        The run on the device that is asked for.
    """
    plans = one_plan(TrainingPlan(asked.steps, asked.batch, asked.crop, LR, WEIGHT_DECAY))
    size = parse_input_size(asked.input_size)
    common = {"data": asked.data, "input_size": size, "augment": "road", "weights": asked.weights, "seed": seed}
    config = PlannedConfig(budget_ms=1e6, plans=plans, **common, **VARIANTS[variant])
    run = Run(asked.work / f"{variant.replace(', ', '-').replace(' ', '-')}-{seed}", config)
    if asked.device:
        run.__dict__["device"] = torch.device(asked.device)
    return run


def trained(asked: argparse.Namespace, variant: str, seed: int) -> dict[str, Any]:
    """Trains a network and evaluates it.

    Args:
        asked: The flags.
        variant: A key of VARIANTS.
        seed: The seed.

    Returns:
        Plain JSON values: `miou` and `classes`, the IoU (0..1) of each class, and `cpu_s`.
    """
    begun, run = time.process_time(), run_of(asked, variant, seed)
    torch.manual_seed(seed)
    network = Network(half_network(len(run.data.classes), run.config.input_size))
    kept = asked.work / f"start-{seed}.pt"
    if kept.is_file():
        network.load_state_dict(torch.load(kept, weights_only=True))
    else:
        open_start(run).network(network)
        kept.parent.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), kept)
    schedule = Schedule(asked.steps, asked.batch, asked.crop, LR, WEIGHT_DECAY)
    fit_network(run, network, schedule, run.path, f"{variant} {seed}", seed=2)
    counts = evaluate_network(network.to(run.device).eval(), run.validation, run.device).cpu()
    ious = dict(zip(run.data.classes, iou_per_class(counts).tolist(), strict=True))
    return {"miou": mean_iou(counts), "classes": ious, "cpu_s": time.process_time() - begun}


def table(found: dict[str, Any], seeds: list[int]) -> str:
    """The table of what is done.

    Args:
        found: The results by `VARIANT SEED`.
        seeds: The seeds.

    Returns:
        Lines of Markdown.
    """
    lines = [f"| variant | seeds | mIoU | {' | '.join(RARE)} | CPU s |", "|---" * (len(RARE) + 4) + "|"]
    for variant in VARIANTS:
        results = [found[f"{variant} {seed}"] for seed in seeds if f"{variant} {seed}" in found]
        if results:
            columns = [[one["miou"] for one in results], *([one["classes"][name] for one in results] for name in RARE)]
            cells = " | ".join(map(_mean, columns))
            seconds = statistics.mean(one["cpu_s"] for one in results)
            lines.append(f"| {variant} | {len(results)} | {cells} | {seconds:.0f} |")
    return "\n".join(lines)


def _mean(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--input-size", default="360x480")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=192)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    asked = parser.parse_args()
    file = asked.work / "results.json"
    found: dict[str, Any] = read_json(file, REMEDY, dict) if file.is_file() else {}
    for seed in asked.seeds:
        for variant in VARIANTS:
            if f"{variant} {seed}" not in found:
                found[f"{variant} {seed}"] = trained(asked, variant, seed)
                write_json(file, found)
                print(f"{variant} {seed}: {found[f'{variant} {seed}']}", flush=True)
    print(table(found, asked.seeds))


if __name__ == "__main__":
    run_command(main)
