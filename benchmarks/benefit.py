"""python benchmarks/benefit.py [--budgets 8,15,30] [--seeds 0,1,2] [--work DIR]: is what the search finds worth it?

For every budget and seed three networks are made, quantized, run by LiteRT and measured on this machine:
- searched: `python -m nas.search --budget-ms B`, the whole main job;
- random: the same with `--sampler random`, as many candidates, scored with the same supernet;
- hand-made: DeepLabV3+ MobileNetV2 (`benchmarks/baseline.py`) at the width multiplier that meets the budget, trained
  from scratch by the same loss and crops for as many steps as train, prune and distill take together.
A killed benchmark goes on where it stopped: networks half made are in --work, figures in --results, to which several
sittings add (`--seeds 0`, another day `--seeds 1`). Prints the table of benchmarks/benefit.md for all that are there.
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from baseline import machine, reuse_supernet, scaled_to, ship, trained

from compress.run import load_network, read_json, save_network, write_json
from compress.settings import PRESETS, Settings, share_cores
from compress.stage import Run
from search_spaces import costs, graph_of
from search_spaces.genotype import Genotype

HOW = ("searched", "random", "hand-made")


def search(work: Path, name: str, budget: str, seed: str, *more: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "nas.search", "--budget-ms", budget, "--seed", seed, "--run", name, "--resume"]
    result = work / "runs" / name / "result.json"
    if not result.exists():
        subprocess.run([*command, *more], cwd=work, check=True)
    found = read_json(result, "delete it")
    return {"miou": found["miou"], "latency_ms": found["latency_ms"], "genotype": found["genotype"]}


def hand_made(work: Path, budget: str, seed: str) -> dict[str, Any]:
    share_cores()
    place = work / f"hand-made-{budget}-{seed}"
    place.mkdir(exist_ok=True)
    run = Run(place, Settings(float(budget), seed=int(seed)))
    chosen = place / "genotype.json"
    if not chosen.exists():
        scaled = scaled_to(float(budget), len(run.data.classes), run.settings.input_size)
        write_json(chosen, scaled.to_dict())
    genotype = Genotype.from_dict(read_json(chosen, "delete it"))
    quick, network = PRESETS["quick"], place / "network.pt"
    steps = quick.train.steps + quick.recover.steps + quick.distill.steps
    if not network.exists():
        save_network(trained(run, genotype, steps, place).cpu(), network)
    shipped = ship(run, load_network(network), place)
    return {"miou": shipped.miou, "latency_ms": shipped.latency_ms, "genotype": genotype.to_dict()}


def made(work: Path, how: str, budget: str, seed: str) -> dict[str, Any]:
    searched = f"searched-{budget}-{seed}"
    if how == "searched":
        return search(work, searched, budget, seed)
    if how == "random":
        name = f"random-{budget}-{seed}"
        if not (work / "runs" / name / "config.json").exists():
            reuse_supernet(work / "runs" / searched, work / "runs" / name)
        return search(work, name, budget, seed, "--sampler", "random")
    return hand_made(work, budget, seed)


def print_tables(rows: Sequence[Mapping[str, Any]]) -> None:
    for sitting in sorted({row["machine"] for row in rows}):
        print(sitting)
    print("\n| budget | network | seeds | mIoU, mean | spread | ms | M parameters |\n|---|---|---|---|---|---|---|")
    order = [(budget, how) for budget in sorted({row["budget"] for row in rows}, key=float) for how in HOW]
    for budget, how in order:
        found = [row for row in rows if (row["budget"], row["how"]) == (budget, how)]
        if found:
            mious, latencies = ([row[key] for row in found] for key in ("miou", "latency_ms"))
            sizes = [costs.params(graph_of(Genotype.from_dict(row["genotype"]))) / 1e6 for row in found]
            print(
                f"| {budget} ms | {how} | {', '.join(row['seed'] for row in found)} | {statistics.mean(mious):.4f} "
                f"| {max(mious) - min(mious):.4f} | {statistics.mean(latencies):.2f} | {statistics.mean(sizes):.2f} |"
            )


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--budgets", default="8,15,30")
    flags.add_argument("--seeds", default="0,1,2")
    flags.add_argument("--work", type=Path, default=Path("runs/benefit"))
    flags.add_argument("--results", type=Path, default=Path(__file__).with_suffix(".json"))
    given = flags.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = read_json(given.results, "delete it") if given.results.exists() else []
    for seed, budget, how in product(given.seeds.split(","), given.budgets.split(","), HOW):
        asked = {"budget": budget, "how": how, "seed": seed}
        if not any(asked.items() <= row.items() for row in rows):
            rows.append({**asked, **made(given.work, how, budget, seed), "machine": machine()})
            write_json(given.results, rows)
    print_tables(rows)


if __name__ == "__main__":
    main()
