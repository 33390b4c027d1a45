"""python benchmarks/supernet_start.py RUN [RUN ...] --work DIR: what the supernet is worth as a start of finalists.

The finalists of finished searches are refined once more as the search does it. This time they start from the
supernet's weights, and not from the donor. Both are scored as int8 files that LiteRT runs over the validation split.
The same command goes on where it was killed.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from baseline import machine

from compress.files.records import read_json
from compress.files.tensors import load_network
from compress.stages.cli import run_command
from compress.stages.run import SEARCH, open_run
from compress.training.device import share_cores
from nas.finals import Finals
from nas.score import Scorer, calibration_batches
from nas.strategy import trained_supernet
from nas.study import Candidate
from nas.supernet import extract
from search_spaces.genotype import Genotype
from search_spaces.network import Network

REMEDY = "give a finished run of nas.search"


@dataclass(frozen=True)
class Finalist:
    """A finalist and what finalists.json has of it."""

    genotype: Genotype
    record: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.record.get("by_hand", self.record.get("known", self.genotype.id)))


def finalists_of(folder: Path) -> list[Finalist]:
    """Those that were refined."""
    search = folder / SEARCH
    records = [one for one in read_json(search / "finalists.json", REMEDY, list) if "refined_miou" in one]
    return [Finalist(load_network(search / "finalists" / one["id"] / "network.pt").genotype, one) for one in records]


def from_supernet(folder: Path, work: Path, finalists: Sequence[Finalist]) -> list[float]:
    """mIoU (0..1) of each after the first round."""
    run = open_run(folder)
    scorer = Scorer(run.validation, calibration_batches(run), run.config.input_size, share_cores())
    supernet, there = trained_supernet(run), replace(run, path=work / folder.name)

    def start(genotype: Genotype) -> Network:
        subnet = extract(supernet, genotype)
        scorer.recalibrate(subnet)
        return subnet.cpu()

    finals = Finals(there, scorer.score, start)
    return finals.train_on("finalist", [Candidate(one.genotype, latency_ms=0.0, miou=0.0) for one in finalists])


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    flags.add_argument("--work", type=Path, required=True, metavar="DIR")
    given = flags.parse_args()
    print(f"{machine()}\n\n| run | network | from the donor | from the supernet |\n|---|---|---|---|")
    for folder in given.runs:
        finalists = finalists_of(folder)
        for one, miou in zip(finalists, from_supernet(folder, given.work, finalists), strict=True):
            print(f"| {folder.name} | {one.name} | {one.record['refined_miou']:.3f} | {miou:.3f} |", flush=True)


if __name__ == "__main__":
    run_command(main)
