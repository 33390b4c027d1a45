"""python benchmarks/probe_ranks.py RUN --work DIR: do the scores of candidates rank networks as a training does?

RUN is a search that is done and that started from a donor. Its finalists, some of its slower candidates and some
neighbours of known networks are trained from the donor as finalists are, up to the first comparison of the preset.
Prints Kendall's tau between their int8 mIoU there and the score of the probe, and that of the supernet where the run
has one. A killed benchmark goes on where it stopped: what is done lies in DIR.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from baseline import machine
from rank_fidelity import tau

from compress.files.records import read_json, write_json
from compress.files.tensors import load_network
from compress.stages.cli import run_command
from compress.stages.run import SEARCH, TRAINED, Run, open_run
from compress.training.device import share_cores
from nas.finalists import macs_of
from nas.finals import Finals
from nas.listing import read_scored_candidates
from nas.neighbours import neighbours
from nas.problem import problem_of
from nas.score import Scorer, calibration_batches, reward
from nas.strategy import Strategy, probed, supernet_file, trained_supernet
from nas.study import Candidate
from nas.supernet import extract
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype

NEAR_SEED = 5  # other neighbours than those that a search starts with
SLOW = 0.5  # shares of the budget: candidates are slower than the one, neighbours than the other
SLOWER = 0.65
AT_ONCE = 2


def finalists(run: Run) -> dict[Genotype, dict[str, Any]]:
    """The finalists of a search and their records. Those over the budget, which were not trained, are left out."""
    rung, found = run.config.preset_values.rungs[0], {}
    for one in read_json(run.path / SEARCH / "finalists.json", "give a search that is done"):
        if str(rung) in one["mious"]:
            found[load_network(run.path / SEARCH / TRAINED / one["id"] / f"after-{rung}.pt").genotype] = one
    return found


def compared(run: Run, work: Path) -> list[Genotype]:
    """The finalists of the search. Their int8 mIoU after the first rung goes to WORK/ID.json."""
    rung, found = run.config.preset_values.rungs[0], finalists(run)
    for genotype, one in found.items():
        write_json(work / f"{one['id']}.json", record(genotype, one["mious"][str(rung)]))
    return list(found)


def others(run: Run, ms: Callable[[Genotype], float], count: int) -> list[Genotype]:
    """Candidates from the fastest to the slowest, and neighbours."""
    budget_ms = run.config.budget_ms
    scored = {Genotype.from_dict(one["genotype"]) for one in read_scored_candidates(run.path / "search.jsonl")}
    slow = sorted((one for one in scored if ms(one) > SLOW * budget_ms), key=ms)
    drawn = neighbours(problem_of(run), run.config.pruned_ms, NEAR_SEED)
    near = [one.genotype for one in drawn if one.costs.latency_ms > SLOWER * budget_ms]
    return [one for some in (slow, near) for one in some[:: max(1, len(some) // count)][:count]]


def record(genotype: Genotype, miou: float) -> dict[str, Any]:
    return {"miou": miou, "genotype": genotype.to_dict()}


def train(run: Run, finals: Finals, candidates: Sequence[Candidate], work: Path) -> None:
    """Leaves the int8 mIoU of each candidate after the first rung in WORK/ID.json."""
    left = [one for one in candidates if not (work / f"{one.genotype.id}.json").exists()]
    for at in range(0, len(left), AT_ONCE):
        some = left[at : at + AT_ONCE]
        mious = finals.train(run.config.preset_values.rungs[0], some)
        for one, miou in zip(some, mious, strict=True):
            write_json(work / f"{one.genotype.id}.json", record(one.genotype, miou))


def rows(
    run: Run, scorer: Scorer, strategy: Strategy, candidates: Sequence[Candidate], work: Path
) -> Iterator[dict[str, Any]]:
    """What ranks the candidates, and the mIoU after the first rung."""
    supernet = trained_supernet(run) if supernet_file(run).exists() else None
    for one in candidates:
        row = {"predicted ms": one.latency_ms, "GMACs": macs_of(one.genotype) / 1e9}
        row["probe"] = strategy.score_known(one.genotype)
        if supernet is not None:
            row["supernet"] = scorer.score(extract(supernet, one.genotype), shared=True)
        yield {**row, "trained": read_json(work / f"{one.genotype.id}.json", "delete it", dict)["miou"]}


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("run", type=Path, metavar="RUN")
    flags.add_argument("--work", type=Path, required=True, metavar="DIR")
    flags.add_argument("--networks", type=int, default=6, help="candidates, and as many neighbours")
    given = flags.parse_args()
    run = open_run(given.run)
    if not (run.path / "genotype.json").is_file():
        raise InputError(f"{run.path}: its search is not done; give the nas.search command again with --resume")
    given.work.mkdir(parents=True, exist_ok=True)
    share_cores()
    scorer = Scorer(run.validation, calibration_batches(run), run.config.input_size, AT_ONCE)
    costs = problem_of(run).costs
    genotypes = [*compared(run, given.work), *others(run, lambda one: costs(one).latency_ms, given.networks)]
    candidates = [Candidate(one, costs(one).latency_ms, miou=0.0) for one in dict.fromkeys(genotypes)]
    strategy = probed(replace(run, path=given.work), scorer)  # its trainings stay in DIR
    train(run, strategy.finals, candidates, given.work)
    found = list(rows(run, scorer, strategy, candidates, given.work))
    print(f"{machine()}; {run.config.data.partition(':')[0]}, {len(found)} networks\n")
    names = list(found[0])
    trained = [row["trained"] for row in found]
    print("| ranked by | tau | tau as rewards |\n|---|---|---|")
    for name in names[:-1]:
        scores = [row[name] for row in found]
        rewards = [reward(row[name], row["predicted ms"], run.config.budget_ms) for row in found]
        print(f"| {name} | {tau(scores, trained):.2f} | {tau(rewards, trained):.2f} |")
    print(f"\n| {' | '.join(names)} |\n|{'---|' * len(names)}")
    for row in sorted(found, key=lambda row: -row["trained"]):
        print("| " + " | ".join(f"{row[name]:.3f}" for name in names) + " |")


if __name__ == "__main__":
    run_command(main)
