"""python benchmarks/inheritance.py --donor NETWORK --data camvid:DIR --work DIR: what a start from a donor is worth.

NETWORK is a network.pt of seven stages with weights of ImageNet. One small network is trained from each start for a
few steps, with the same crops. The table is that of benchmarks/inheritance.md. Use one core (OMP_NUM_THREADS=1).
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from planned import PlannedConfig, one_plan

from compress.data.calibration import calibration_images
from compress.files.tensors import load_network
from compress.stages.cli import run_command
from compress.stages.fitting import fit_network
from compress.stages.flag_values import parse_input_size
from compress.stages.run import Run
from compress.training.plan import TrainingPlan
from compress.training.schedule import Schedule
from nas.inheritance.slices import inherit
from nas.inheritance.start import PreparedDonor, prepare_donor, start_network
from search_spaces.genotype import Genotype
from search_spaces.known_networks import known_backbone, known_network
from search_spaces.network import Network
from search_spaces.ops import RGB_BANDS

LR, WEIGHT_DECAY, BATCH, CROP = 2e-3, 0.05, 16, 128


def half_network(classes: int, resolution: tuple[int, int], bands: int = RGB_BANDS) -> Genotype:
    """Half the widths of EfficientNet-Lite0, 3x3 kernels, 11 blocks, a small head: 0.25 M parameters."""
    backbone = known_backbone("efficientnet_lite0", 0.5, stages=6, max_depth=2, kernel=3, expansion=4)
    aspp = {"aspp_rates": (6,), "image_pooling": False, "aspp_widths": (96, 96), "aspp_out": 96}
    decoder = {"low_level": 24, "decoder": (64, 64), "head_stride": 2, "bands": bands}
    return known_network("efficientnet_lite0", 0.5, classes, resolution, backbone=backbone, **aspp, **decoder)


STARTS: dict[str, Callable[[Network, PreparedDonor], object]] = {
    "random weights": lambda network, donor: None,
    "leading slices of the ordered donor": lambda network, donor: inherit(network, donor.at(network)),
    "the same, projections fitted": start_network,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--donor", required=True, type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--input-size", default="192x256")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    size = parse_input_size(asked.input_size)
    plans = one_plan(TrainingPlan(asked.steps, BATCH, CROP, LR, WEIGHT_DECAY))
    run = Run(asked.work, PlannedConfig(budget_ms=1e6, data=asked.data, input_size=size, seed=asked.seed, plans=plans))
    begun = time.process_time()
    donor = prepare_donor(load_network(asked.donor), calibration_images(run.data, size, torch.device("cpu")))
    print(f"donor prepared in {time.process_time() - begun:.1f} s of CPU time", flush=True)
    print("| start | seconds of CPU | mIoU (float) |\n|---|---|---|")
    for title, start in STARTS.items():
        torch.manual_seed(asked.seed)
        network = Network(half_network(len(run.data.classes), size))
        begun = time.process_time()
        start(network, donor)
        seconds = time.process_time() - begun
        folder = asked.work / title.replace(" ", "-").replace(",", "")
        schedule = Schedule(asked.steps, BATCH, CROP, LR, WEIGHT_DECAY)
        fit_network(run, network, schedule, folder, title, seed=2)
        print(f"| {title} | {seconds:.1f} | {run.miou(network):.3f} |", flush=True)


if __name__ == "__main__":
    run_command(main)
