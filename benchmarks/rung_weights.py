"""python benchmarks/rung_weights.py RUN --work DIR: what averaged weights are worth where finalists are compared.

RUN is a search that is done. Its finalists are trained as in the search up to step 200, once with the weights of the
last step and once with the average that the search compares. Prints the int8 mIoU of each on the way. A killed
benchmark goes on where it stopped: what is done lies in DIR.
"""

import argparse
import copy
import itertools
from dataclasses import replace
from pathlib import Path

from baseline import machine
from probe_ranks import finalists

from compress.files.tensors import load_network
from compress.stages.cli import run_command
from compress.stages.run import open_run
from compress.stages.side_by_side import Training, train_side_by_side
from compress.stages.train import winner_schedule
from compress.training.device import share_cores
from nas.finals import EMA, as_finalist
from nas.score import Scorer, calibration_batches
from nas.start import open_start, started_network

STEPS = (40, 80, 120, 160, 200)
DECAYS = {"last step": 0.0, "averaged": EMA}


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("run", type=Path, metavar="RUN")
    flags.add_argument("--work", type=Path, required=True, metavar="DIR")
    flags.add_argument("--networks", type=int, default=4)
    flags.add_argument("--crop-seeds", type=int, nargs="+", default=[2, 11])
    given = flags.parse_args()
    run, threads = open_run(given.run), share_cores()
    start, chosen = open_start(run), list(finalists(run).items())[: given.networks]
    schedules = {one: as_finalist(run, winner_schedule(run.config, row["predicted_latency_ms"])) for one, row in chosen}
    first = {one: started_network(run, start, one) for one in schedules}
    asked = list(itertools.product(schedules, given.crop_seeds, DECAYS))
    folders = {(one, seed, name): given.work / f"{one.id}-{seed}-{name}" for one, seed, name in asked}
    for step in STEPS:
        trainings = [
            Training(
                copy.deepcopy(first[one]),
                replace(schedules[one], ema=DECAYS[name]),
                folder / f"after-{step}.pt",
                folder.name,
                seed,
                step,
            )
            for (one, seed, name), folder in folders.items()
        ]
        train_side_by_side(run, trainings)
    scorer = Scorer(run.validation, calibration_batches(run), run.config.input_size, threads)
    heads = ("network", "crop seed", "weights", *map(str, STEPS))
    print(f"{machine()}; {run.config.data.partition(':')[0]}\n\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for (one, seed, name), folder in folders.items():
        mious = [scorer.score(load_network(folder / f"after-{step}.pt").to(run.device)) for step in STEPS]
        print(f"| {one.id} | {seed} | {name} | " + " | ".join(f"{miou:.3f}" for miou in mious) + " |")


if __name__ == "__main__":
    run_command(main)
