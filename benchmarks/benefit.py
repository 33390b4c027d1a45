"""python benchmarks/benefit.py [--budgets 8,15,30] [--seeds 0,1,2] [--work DIR]: is what the search finds worth it?

For every budget and seed three networks are made, quantized, run by LiteRT and measured on this machine:
- searched: `python -m nas.search --budget-ms B`, the whole main job;
- random: the same with `--sampler random`, as many candidates, scored with the same supernet;
- hand-made: DeepLabV3+ MobileNetV2 (`benchmarks/baseline.py`) at the width multiplier that meets the budget, trained
  from scratch by the same loss and crops for as many steps as train, prune and distill take together.
All is kept in --work: a killed benchmark goes on where it stopped, and may be spread over several sittings. Prints the
tables of benchmarks/benefit.md for what is there.
"""

import argparse
import json
import statistics
import subprocess
import sys
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
    place = work / f"{how}-{budget}-{seed}.json"
    if not place.exists():
        searched = f"searched-{budget}-{seed}"
        if how == "searched":
            figures = search(work, searched, budget, seed)
        elif how == "random":
            name = f"random-{budget}-{seed}"
            if not (work / "runs" / name / "config.json").exists():
                reuse_supernet(work / "runs" / searched, work / "runs" / name)
            figures = search(work, name, budget, seed, "--sampler", "random")
        else:
            figures = hand_made(work, budget, seed)
        write_json(place, figures)
    return dict(json.loads(place.read_text()))


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--budgets", default="8,15,30")
    flags.add_argument("--seeds", default="0,1,2")
    flags.add_argument("--work", type=Path, default=Path("runs/benefit"))
    given = flags.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    budgets, seeds = given.budgets.split(","), given.seeds.split(",")
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for seed in seeds:
        for budget in budgets:
            for how in HOW:
                rows.setdefault((budget, how), []).append(made(given.work, how, budget, seed))
    print(f"\n{machine()}\n\n| budget | network | mIoU, mean | spread | ms | M parameters |\n|---|---|---|---|---|---|")
    for (budget, how), found in sorted(rows.items(), key=lambda row: (float(row[0][0]), HOW.index(row[0][1]))):
        mious, latencies = ([one[key] for one in found] for key in ("miou", "latency_ms"))
        sizes = [costs.params(graph_of(Genotype.from_dict(one["genotype"]))) / 1e6 for one in found]
        print(
            f"| {budget} ms | {how} | {statistics.mean(mious):.4f} | {max(mious) - min(mious):.4f} "
            f"| {statistics.mean(latencies):.2f} | {statistics.mean(sizes):.2f} |"
        )


if __name__ == "__main__":
    main()
