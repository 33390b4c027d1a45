"""python benchmarks/early_scores.py RUN --work DIR: how early one can tell which network will be better.

Trains the known networks of a search (those by hand and the compact ones) to the end, as its finalists are trained, and
scores them after every eighth of the steps, as int8. The same command goes on where it was killed.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from baseline import machine

from compress.files.records import read_json, write_json
from compress.stages.cli import run_command
from compress.stages.run import open_run
from compress.stages.train import winner_schedule
from compress.training.device import share_cores
from nas.by_hand import networks_by_hand
from nas.compact import compact_networks
from nas.finals import Finals
from nas.problem import problem_of
from nas.score import Scorer, calibration_batches
from nas.start import open_start, started_network, starter_from_donor
from nas.study import Candidate

PARTS = 8


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("run", type=Path, metavar="RUN")
    flags.add_argument("--work", type=Path, required=True, metavar="DIR")
    given = flags.parse_args()
    run = replace(open_run(given.run), path=given.work)
    problem, bound_ms, asked = problem_of(open_run(given.run)), run.config.pruned_ms, run.config
    known = {**networks_by_hand(problem, bound_ms), **compact_networks(problem, bound_ms)}
    candidates = [Candidate(one, problem.costs(one).latency_ms, 0.0, name) for name, one in known.items()]
    scorer = Scorer(run.validation, calibration_batches(run), asked.input_size, share_cores())
    finals = Finals(run, scorer.score, lambda one: started_network(run, open_start(run), one), starter_from_donor(run))
    steps = winner_schedule(asked, min(one.latency_ms for one in candidates)).steps
    rungs = [steps * part // PARTS for part in range(1, PARTS)]
    kept = given.work / "scores.json"
    scores: dict[str, list[float]] = read_json(kept, "delete it", dict) if kept.exists() else {}
    for rung in (*rungs, None):
        if str(rung) not in scores:
            scores[str(rung)] = finals.train(rung, candidates)
            write_json(kept, scores)
    print(f"{machine()}\n\n| network | ms | {' | '.join(map(str, [*rungs, steps]))} |\n|---|---{'|---' * PARTS}|")
    for i, one in enumerate(candidates):
        mious = " | ".join(f"{found[i]:.3f}" for found in scores.values())
        print(f"| {one.name} | {one.latency_ms:.1f} | {mious} |")


if __name__ == "__main__":
    run_command(main)
