"""python benchmarks/rung_weights.py RUN --work DIR: what averaged weights are worth where finalists are compared.

RUN is a search that is done. Its finalists are trained as in the search up to step 200, once with the weights of the
last step and once with the average that the search compares. Prints the int8 mIoU of each on the way. A killed
benchmark goes on from the checkpoints in DIR.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from baseline import machine

from compress.files.records import read_json
from compress.files.tensors import load_network
from compress.stages.cli import run_command
from compress.stages.fitting import fit_network
from compress.stages.run import SEARCH, TRAINED, Run, open_run
from compress.stages.train import winner_schedule
from compress.training.device import share_cores
from nas.finals import EMA, as_finalist
from nas.score import Scorer, calibration_batches
from nas.start import open_start, started_network
from search_spaces.genotype import Genotype

STEPS = (40, 80, 120, 160, 200)
DECAYS = {"last step": 1e-9, "averaged": EMA}


def finalists(run: Run) -> dict[Genotype, float]:
    """The finalists of the search and their predicted latencies, ms."""
    rung, found = run.config.preset_values.rungs[0], {}
    for one in read_json(run.path / SEARCH / "finalists.json", "give a search that is done"):
        file = run.path / SEARCH / TRAINED / one["id"] / f"after-{rung}.pt"
        if file.exists():
            found[load_network(file).genotype] = one["predicted_latency_ms"]
    return found


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("run", type=Path, metavar="RUN")
    flags.add_argument("--work", type=Path, required=True, metavar="DIR")
    flags.add_argument("--networks", type=int, default=4)
    flags.add_argument("--crop-seeds", type=int, nargs="+", default=[2, 11])
    given = flags.parse_args()
    run, threads = open_run(given.run), share_cores()
    start = open_start(run)
    scorer = Scorer(run.validation, calibration_batches(run), run.config.input_size, threads)
    print(f"{machine()}; {run.config.data.partition(':')[0]}\n\n| network | crop seed | weights |", end="")
    print("".join(f" {step} |" for step in STEPS) + f"\n|{'---|' * (3 + len(STEPS))}")
    for genotype, ms in list(finalists(run).items())[: given.networks]:
        for seed in given.crop_seeds:
            for name, decay in DECAYS.items():
                schedule = replace(as_finalist(run, winner_schedule(run.config, ms)), ema=decay)
                folder = given.work / f"{genotype.id}-{seed}-{decay}"
                mious = []
                for step in STEPS:
                    network = started_network(run, start, genotype)
                    fit_network(run, network, schedule, folder, folder.name, seed, until=step)
                    mious.append(scorer.score(network))
                print(f"| {genotype.id} | {seed} | {name} | " + " | ".join(f"{miou:.3f}" for miou in mious) + " |")


if __name__ == "__main__":
    run_command(main)
