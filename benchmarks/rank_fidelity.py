"""python benchmarks/rank_fidelity.py [--data D] [--work DIR]: do the supernet's scores rank networks as training does?

Random feasible genotypes are each trained alone, from --weights, with two seeds, and scored with the shared weights of
one supernet. Both are mIoU of the int8 file as LiteRT runs it over the validation split. Kendall's tau between the
supernet's scores and the mean of the two trainings is the fidelity; the tau between the two trainings is its ceiling,
for a ranking cannot be known better than training itself knows it. Also: how the networks rank once refined as the
search refines its finalists, whether scores as float rank otherwise, and what a candidate's score costs against its
training. A killed benchmark goes on where it stopped: checkpoints are in --work, figures in --results, to which several
sittings add. Prints a table of benchmarks/rank_fidelity.md; with --show that of the figures there are.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import partial
from math import nan
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from baseline import machine, started
from numpy.typing import ArrayLike
from planned import PlannedConfig
from scipy.stats import kendalltau
from trainings import end_with_parent

from compress.files.records import read_json, write_json
from compress.latency.spec import TableSpec
from compress.latency.targets import HostTarget
from compress.stages.fitting import fit_network
from compress.stages.flag_values import parse_input_size
from compress.stages.presets import PRESETS
from compress.stages.run import Run
from nas import strategy
from nas.constraints import Constraints
from nas.feasibility import Survey, survey_space
from nas.finalists import macs_of, resolutions_in_turns
from nas.finals import as_finalist
from nas.halving import best_reward_first
from nas.preparation import open_table
from nas.problem import Problem
from nas.score import Scorer, calibration_batches, reward
from nas.study import Candidate
from nas.supernet import extract
from search_spaces import get_space
from search_spaces.genotype import Genotype

SEEDS = (0, 1)
FINALISTS, RUNG = PRESETS["quick"].finalists, PRESETS["quick"].rungs[0]


def make_run(given: argparse.Namespace, seed: int = 0, supernet_steps: int = 0) -> Run:
    """A run folder's settings: the quick preset's schedules, as long as asked for; `seed` is that of crops and first
    weights."""
    quick = PRESETS["quick"]
    plans = replace(
        quick,
        supernet=replace(quick.supernet, steps=supernet_steps),
        train=replace(quick.train, steps=given.steps),
    )
    size = parse_input_size(given.input_size)
    asked = {"data": given.data, "input_size": size, "seed": seed, "weights": given.weights, "crop": given.crop}
    return Run(given.work, PlannedConfig(given.budget_ms, **asked, plans=plans))


def survey_of(given: argparse.Namespace) -> tuple[Problem, Survey]:
    run = make_run(given)
    space, classes = get_space(run.config.space), len(run.data.classes)
    wanted = TableSpec(space, classes, run.config.input_size, "int8", HostTarget())
    problem = Problem(space, open_table(wanted, None), classes, run.config.input_size, Constraints(given.budget_ms))
    return problem, survey_space(problem, given.draw)


def drawn(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Feasible networks, from the fastest to the slowest. Kept, for another table would choose others."""
    problem, found = survey_of(given)
    feasible = [d.genotype for d in found.feasible if d.params]
    chosen = feasible[:: len(feasible) // given.networks][: given.networks]
    return [{"genotype": g.to_dict(), "predicted_ms": problem.costs(g).latency_ms} for g in chosen]


def alone(given: argparse.Namespace, genotype: Genotype, seed: int) -> dict[str, float]:
    """Trains a genotype; its mIoU as int8 and as float, and the seconds it took."""
    torch.set_num_threads(given.threads)
    run = make_run(given, seed)
    network = started(run, genotype)
    begun = time.monotonic()
    folder = given.work / key(genotype, seed)
    folder.mkdir(exist_ok=True)
    fit_network(run, network, as_finalist(run, run.config.schedule("train")), folder, folder.name, seed=2)
    seconds = time.monotonic() - begun
    scorer = Scorer(run.validation, calibration_batches(run), run.config.input_size, given.threads)
    return {"int8": scorer.score(network), "float": run.miou(network), "seconds": seconds}


def key(genotype: Genotype, seed: int) -> str:
    return f"alone-{genotype.id}-{seed}"


def refined_key(genotype: Genotype, supernet: str) -> str:
    return f"refined-{genotype.id}-{supernet}"


def refined(given: argparse.Namespace, steps: int, genotype: Genotype) -> dict[str, float]:
    """mIoU as int8 of a genotype that trains as finalists do up to their first rung, and the seconds it took."""
    torch.set_num_threads(given.threads)
    run = replace(make_run(given, supernet_steps=steps), path=given.work / f"supernet-{steps}")
    scorer = Scorer(run.validation, calibration_batches(run), run.config.input_size, given.threads)
    begun = time.monotonic()
    miou = strategy.shared_weights(run, scorer).finals.train(RUNG, [Candidate(genotype, latency_ms=0.0, miou=0.0)])[0]
    return {"int8": miou, "seconds": time.monotonic() - begun}


def do_all(given: argparse.Namespace, figures: dict[str, Any], asked: Mapping[str, Callable[[], Any]]) -> None:
    """Adds the figures that are missing, in the order asked for."""
    with ProcessPoolExecutor(given.jobs, get_context("spawn"), initializer=end_with_parent) as pool:
        waiting = {pool.submit(do): name for name, do in asked.items() if name not in figures}
        for future in as_completed(waiting):
            figures[waiting[future]] = future.result()
            write_json(given.results, figures)


def scores(given: argparse.Namespace, steps: int, genotypes: Sequence[Genotype]) -> dict[str, Any]:
    """A supernet's scores of the genotypes, as int8 and as float, and the mean seconds of one as int8."""
    torch.set_num_threads(given.threads * given.jobs)
    folder = given.work / f"supernet-{steps}"
    (folder / "search").mkdir(parents=True, exist_ok=True)
    problem, found = survey_of(given)
    run = replace(make_run(given, supernet_steps=steps), path=folder)  # the last, for its preset is the one that holds
    strategy.train_supernet(run, found, problem.smallest())
    scorer = Scorer(run.validation, calibration_batches(run), run.config.input_size, given.threads * given.jobs)
    supernet = strategy.trained_supernet(run)
    scorer.score(extract(supernet, problem.smallest()), shared=True)  # validation images decoded and resized
    begun = time.monotonic()
    as_int8 = [scorer.score(extract(supernet, g), shared=True) for g in genotypes]
    seconds = (time.monotonic() - begun) / len(genotypes)
    as_float = []
    for genotype in genotypes:
        subnet = extract(supernet, genotype)
        scorer.recalibrate(subnet)
        as_float.append(run.miou(subnet))
    supernet_seconds = read_json(folder / "search" / "supernet.json", "delete it")["seconds"]
    return {"int8": as_int8, "float": as_float, "seconds": seconds, "supernet_seconds": supernet_seconds}


def won(found: Sequence[Candidate], refined: Sequence[float], budget_ms: float) -> int:
    """Which of the networks a search that knew no others would choose."""
    finalists = resolutions_in_turns(best_reward_first(found, budget_ms))[:FINALISTS]
    best = best_reward_first([replace(one, miou=refined[found.index(one)]) for one in finalists], budget_ms)[0]
    return next(i for i, one in enumerate(found) if one.genotype == best.genotype)


def tau(one: ArrayLike, other: ArrayLike) -> float:
    """Of the pairs in which neither is missing."""
    return float(kendalltau(one, other, nan_policy="omit").statistic)


def written(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "-"


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--data", default="landcover")
    flags.add_argument("--input-size", default="512")
    flags.add_argument("--budget-ms", type=float, default=30.0)
    flags.add_argument("--networks", type=int, default=20)
    flags.add_argument("--draw", type=int, default=0, help="seed of the networks drawn")
    flags.add_argument("--seeds", type=int, choices=(1, 2), default=2, help="trainings alone of each")
    flags.add_argument(
        "--weights", choices=("imagenet", "none"), default="imagenet", help="what all networks start from"
    )
    flags.add_argument("--steps", type=int, default=700, help="of each training alone")
    flags.add_argument("--supernet-steps", type=int, nargs="+", default=[400], help="of one supernet or of several")
    flags.add_argument("--crop", type=int, default=128, help="side of the crops of one network, as for nas.search")
    flags.add_argument("--jobs", type=int, default=2, help="trainings at once")
    flags.add_argument("--threads", type=int, default=1, help="of each training")
    flags.add_argument("--work", type=Path, default=Path("runs/rank_fidelity"))
    flags.add_argument("--results", type=Path, help="default: rank_fidelity-DATA.json beside this script")
    flags.add_argument("--show", action="store_true", help="train and score nothing")
    given = flags.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    data = given.data.partition(":")[0]
    given.results = given.results or Path(__file__).with_name(f"rank_fidelity-{data}.json")
    asked = ("input_size", "budget_ms", "networks", "draw", "steps", "crop", "weights")
    settings = {"data": data, **{name: getattr(given, name) for name in asked}}
    figures: dict[str, Any] = read_json(given.results, "delete it") if given.results.exists() else {"asked": settings}
    figures["asked"] = {"weights": "none", **figures["asked"]}  # as it was before there was a choice
    if figures["asked"] != settings:
        raise SystemExit(f"{given.results} holds figures of {figures['asked']}; give another --results")

    if "networks" not in figures:
        figures["networks"] = drawn(given)
        write_json(given.results, figures)
    genotypes = [Genotype.from_dict(one["genotype"]) for one in figures["networks"]]
    if not given.show:
        do_all(
            given,
            figures,
            {key(g, seed): partial(alone, given, g, seed) for seed in SEEDS[: given.seeds] for g in genotypes},
        )
        for steps in given.supernet_steps:
            name = f"supernet-{steps}"
            if name not in figures:
                figures[name] = scores(given, steps, genotypes)
                write_json(given.results, figures)
            if (given.work / name).is_dir():  # its weights may be of another machine
                do_all(given, figures, {refined_key(g, name): partial(refined, given, steps, g) for g in genotypes})
    print_table(genotypes, figures)


def print_table(genotypes: Sequence[Genotype], figures: Mapping[str, Any]) -> None:
    nothing = {"int8": nan, "float": nan, "seconds": nan}
    trained = [[figures.get(key(g, seed), nothing) for seed in SEEDS] for g in genotypes]
    supernets = {name: figures[name] for name in figures if name.startswith("supernet")}
    after_more = {name: [figures.get(refined_key(g, name), nothing) for g in genotypes] for name in supernets}
    truths = {kind: np.array([[one[kind] for one in row] for row in trained]) for kind in ("int8", "float")}
    truth = np.nanmean(truths["int8"], 1)
    macs, budget_ms = [macs_of(g) for g in genotypes], figures["asked"]["budget_ms"]
    predicted = [network["predicted_ms"] for network in figures["networks"]]

    def exponent(mious: ArrayLike) -> float:
        """w of mIoU ~ latency ** w."""
        return float(np.polyfit(np.log(predicted), np.log(mious), 1)[0])

    def rewards(mious: Sequence[float]) -> list[float]:
        return [reward(miou, ms, budget_ms) for miou, ms in zip(mious, predicted, strict=True)]

    seconds = np.nanmean([[one["seconds"] for one in row] for row in trained])
    differ = np.abs(truths["int8"][:, 0] - truths["int8"][:, 1])
    itself = tau(truths["float"][:, 0], truths["int8"][:, 0])
    print(f"{machine()}, {json.dumps(figures['asked'])}\n")
    print("| figure | |\n|---|---|")
    print(f"| networks, trained twice | {len(genotypes)}, {np.isfinite(differ).sum()} |")
    print(f"| range of mIoU | {truth.min():.3f} to {truth.max():.3f} |")
    print(f"| mIoU grows with latency to the power | {exponent(truth):.3f} |")
    if np.isfinite(differ).any():
        print(f"| two trainings of one network differ by, mean | {np.nanmean(differ):.3f} |")
        print(f"| the same, most | {np.nanmax(differ):.3f} |")
        print(f"| tau of the two trainings (ceiling) | {tau(truths['int8'][:, 0], truths['int8'][:, 1]):.3f} |")
    for name, shared in supernets.items():
        print(f"| tau of {name}, int8 scores | {tau(shared['int8'], truth):.3f} |")
        print(f"| these grow with latency to the power | {exponent(shared['int8']):.3f} |")
        print(f"| the same, float scores | {tau(shared['float'], truth):.3f} |")
        print(f"| int8 scores as rewards | {tau(rewards(shared['int8']), truth):.3f} |")
        print(f"| seconds of its training, of a score | {shared['supernet_seconds']:.0f}, {shared['seconds']:.2f} |")
        print(f"| trained, the network it puts first has | {truth[np.argmax(shared['int8'])]:.3f} |")
        after = np.array([one["int8"] for one in after_more[name]])
        if np.isfinite(after).all():
            print(f"| tau of its networks refined | {tau(after, truth):.3f} |")
            print(f"| these grow with latency to the power | {exponent(after):.3f} |")
            print(f"| refined, as rewards | {tau(rewards(after.tolist()), truth):.3f} |")
            found = [Candidate(*one) for one in zip(genotypes, predicted, shared["int8"], strict=True)]
            winner = won(found, after.tolist(), budget_ms)
            print(f"| trained, the one that wins of {FINALISTS} finalists has | {truth[winner]:.3f} |")
            print(f"| seconds of refining one | {np.mean([one['seconds'] for one in after_more[name]]):.0f} |")
    print(f"| tau of MACs alone | {tau(macs, truth):.3f} |")
    print(f"| tau of one training as float with itself as int8 | {itself:.3f} |")
    drops = truths["float"] - truths["int8"]
    print(f"| float less int8 in training alone, least and most | {np.nanmin(drops):.4f}, {np.nanmax(drops):.4f} |")
    print(f"| seconds of a training alone | {seconds:.0f} |")
    names = ["predicted ms", "GMACs", "alone, seed 0", "seed 1"]
    names += [f"{name}, {kind}" for name in supernets for kind in ("int8", "float", "refined")]
    print("\n| " + " | ".join(names) + " |\n|" + "---|" * len(names))
    for i in range(len(genotypes)):
        shares = []
        for name, shared in supernets.items():
            shares += [shared["int8"][i], shared["float"][i], after_more[name][i]["int8"]]
        cells = [predicted[i], macs[i] / 1e9, *truths["int8"][i], *shares]
        print("| " + " | ".join(written(value, 2 if n < 2 else 4) for n, value in enumerate(cells)) + " |")


if __name__ == "__main__":
    main()
