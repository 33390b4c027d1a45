"""python benchmarks/benefit.py --work DIR [--jobs 2]: is what the search finds worth it?

For every budget and seed some networks are chosen, trained alike from --weights, quantized, run and timed:
- searched: the winner of `python -m nas.search --budget-ms B`;
- random: the same with `--sampler random`, as many candidates, scored alike;
- hand-made: DeepLabV3+ MobileNetV2 (`benchmarks/baseline.py`) at the width multiplier that meets the budget;
- inherited: `searched`, but started from its weights at the end of the search, as the main job does;
- deeplabv1, deeplabv2, deeplabv3, lraspp: the winner of a search with that `--space`.
--networks says which, the first is what the others are compared with. The same command goes on where it was killed, and
takes more of --budgets, --seeds and --networks later. Two parts want a quiet machine: --prepare, before, searches;
--measure, after, times the files.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from heapq import nlargest
from pathlib import Path
from statistics import mean, median
from typing import Any

from baseline import machine, reuse_supernet, scaled_to, search, started, trained
from stage_tables import MILLIONS, MIOU, MS, POINTS, Figure, float_miou, int8_miou, latency, params, points, table
from trainings import SHIPPED, TRAINED, Training, do_missing, in_processes, measure_missing

from compress.donors.source import IMAGENET
from compress.files.atomic import write_atomically
from compress.files.genotypes import read_genotype
from compress.files.records import read_json, write_json
from compress.stages.cli import run_command
from compress.stages.config import RunConfig
from compress.stages.flag_values import parse_input_size
from compress.stages.run import SEARCH, Run
from nas.listing import read_scored_candidates
from nas.score import reward
from search_spaces.errors import InputError
from search_spaces.network import Network

HAND_MADE, SEARCHED, RANDOM, INHERITED = "hand-made", "searched", "random", "inherited"
SEARCHES: dict[str, dict[str, str]] = {
    SEARCHED: {},
    RANDOM: {"sampler": "random"},
    **{space: {"space": space} for space in ("deeplabv1", "deeplabv2", "deeplabv3", "lraspp")},
}
NETWORKS = (HAND_MADE, *SEARCHES, INHERITED)
SCORES: dict[str, Callable[[list[float]], float]] = {
    "best": max,
    "four best": lambda rewards: mean(nlargest(4, rewards)),
    "median": median,
}


def name_of(network: str, budget: str) -> str:
    return f"{network}-{budget}"


def place_of(run: Run, network: str, budget: str) -> Path:
    """Where a network's genotype.json is: the run folder of its search; MobileNetV2 does not depend on the seed."""
    folder = run.path.parent if network == HAND_MADE else run.path
    return folder / f"search-{name_of(SEARCHED if network == INHERITED else network, budget)}"


def choose(run: Run, network: str, budget: str, flags: dict[str, Any]) -> None:
    """Leaves a network's genotype.json in its place."""
    place = place_of(run, network, budget)
    if (place / "genotype.json").is_file():
        return
    if network == HAND_MADE:
        scaled = scaled_to(float(budget), len(run.data.classes), run.config.input_size)
        write_json(place / "genotype.json", scaled.to_dict())
    if network == RANDOM and not (place / SEARCH).exists():
        reuse_supernet(place_of(run, SEARCHED, budget), place)
    if network in SEARCHES:
        search(place, budget_ms=budget, seed=run.config.seed, **flags, **SEARCHES[network])
        write_atomically(run.path / "table.json", (place / "table.json").read_bytes())  # for run.target


def train(network: str, budget: str, steps: int, run: Run, folder: Path) -> Network:
    place = place_of(run, network, budget)
    if network == INHERITED:
        config = place / "config.json"
        begun = Run(place, RunConfig.from_dict(read_json(config, "run --prepare"), str(config))).network(SEARCH)
    else:
        begun = started(run, read_genotype(place / "genotype.json", "run --prepare"))
    return trained(run, begun, steps, folder)


def plan(given: argparse.Namespace) -> list[Training]:
    return [
        Training(name_of(network, budget), partial(train, network, budget, given.steps), timed=True)
        for budget in given.budgets
        for network in given.networks
    ]


def open_runs(given: argparse.Namespace) -> list[Run]:
    size = parse_input_size(given.input_size)
    return [
        Run(
            given.work / f"seed-{seed}",
            RunConfig(1e6, data=given.data, input_size=size, seed=seed, weights=given.weights),
        )
        for seed in given.seeds
    ]


def work_on(step: str, given: argparse.Namespace) -> None:
    """A process's share of a step."""
    do_missing(step, open_runs(given), plan(given))


def rows(given: argparse.Namespace) -> Iterator[tuple[str, Sequence[tuple[Figure, str]]]]:
    for budget in given.budgets:
        first = name_of(given.networks[0], budget)
        for network in given.networks:
            name = name_of(network, budget)
            ahead = points(int8_miou(name), int8_miou(first))
            figures = (int8_miou(name), MIOU), (ahead, POINTS), (float_miou(name), MIOU)
            yield f"{budget} ms, {network}", (*figures, (latency(name), MS), (params(name), MILLIONS))


def scored(network: str, budget: str, of: Callable[[list[float]], float]) -> Figure:
    """Something of the rewards of a search's candidates."""

    def figure(run: Run) -> float | None:
        listing = place_of(run, network, budget) / "search.jsonl"
        if not listing.is_file():
            return None
        found = read_scored_candidates(listing)  # `score` of an older version is another reward
        return of([reward(one["miou"], one["predicted_latency_ms"], float(budget)) for one in found])

    return figure


def sampler_rows(given: argparse.Namespace) -> Iterator[tuple[str, Sequence[tuple[Figure, str]]]]:
    for budget in given.budgets:
        yield (
            f"{budget} ms",
            [(points(scored(SEARCHED, budget, of), scored(RANDOM, budget, of)), POINTS) for of in SCORES.values()],
        )


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--work", type=Path, required=True, metavar="DIR", help="where everything is kept")
    flags.add_argument("--data", default="landcover")
    flags.add_argument("--input-size", default="512")
    flags.add_argument("--weights", default=IMAGENET, help="what all networks start from (imagenet)")
    flags.add_argument("--steps", type=int, default=700, help="of each training, by the quick preset's recipe (700)")
    flags.add_argument("--budgets", nargs="+", default=["8", "15", "30"], metavar="MS")
    flags.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    flags.add_argument("--networks", nargs="+", choices=NETWORKS, default=[HAND_MADE, SEARCHED, RANDOM])
    flags.add_argument("--jobs", type=int, default=1, help="processes; start them with OMP_NUM_THREADS=1")
    flags.add_argument("--prepare", action="store_true", help="only search")
    flags.add_argument("--measure", action="store_true", help="only time the files there are")
    given = flags.parse_args()
    searched = {"data": given.data, "input_size": given.input_size, "weights": given.weights}
    asked = {**searched, "steps": given.steps}
    kept = given.work / "asked.json"
    if not kept.is_file():
        write_json(kept, asked)
    if (before := read_json(kept, "name another --work")) != asked:
        raise InputError(f"{kept}: networks of {before}; give the same flags or another --work")
    runs = open_runs(given)
    if given.prepare:
        for run in runs:
            for budget in given.budgets:
                for network in given.networks:
                    choose(run, network, budget, searched)
        return
    if given.measure:
        measure_missing(runs, plan(given), seconds=2.0)
    else:
        for step in (TRAINED, SHIPPED):
            in_processes(given.jobs, work_on, step, given)
    print(f"{machine()}; {given.data} at {given.input_size}, {len(runs)} seeds, {given.steps} steps\n")
    heads = ("", "int8 mIoU", f"points against {given.networks[0]}", "float mIoU", "ms", "M parameters")
    print(table(runs, heads, rows(given)))
    if {SEARCHED, RANDOM} <= set(given.networks):
        print(f"\nRewards of {SEARCHED} against {RANDOM}, in points\n")
        print(table(runs, ("", *SCORES), sampler_rows(given)))


if __name__ == "__main__":
    run_command(main)
