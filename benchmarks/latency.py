"""python benchmarks/latency.py [--models N] [--seed S]: how well latency tables predict whole networks.

For each case a table is built from nothing, then checked on random networks that no table was fitted on, and a
predictor that sees MACs alone is fitted on those very networks (least squares of relative errors, an intercept and a
slope), which favours it. Also: how many genotypes a second the table prices on one core, and networks that went
through the converter instead of being written from the op list. Prints the tables of benchmarks/latency.md.
"""

import argparse
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from compress.latency.builder import build
from compress.latency.check import check
from compress.latency.spec import TableSpec
from compress.latency.table import LatencyTable
from compress.latency.targets import HostTarget
from search_spaces import get_space
from search_spaces.trials import RandomTrial

CASES = (("int8", 1, 512), ("float32", 1, 512), ("int8", 2, 512), ("int8", 1, 256))
PRICED = 3000


def macs_only(networks: list[dict[str, Any]]) -> dict[str, float]:
    macs, measured = (np.array([n[key] for n in networks], float) for key in ("macs", "measured_ms"))
    rows = np.stack([1 / measured, macs / measured], axis=1)
    solution = np.linalg.lstsq(rows, np.ones(len(macs)), rcond=None)[0]
    errors = rows @ solution - 1
    return {
        "rmspe": float(np.sqrt(np.mean(errors**2))),
        "within_5": float(np.mean(np.abs(errors) <= 0.05)),
        "within_10": float(np.mean(np.abs(errors) <= 0.10)),
        "kendall_tau": float(kendalltau(macs, measured).statistic),
    }


def cells(found: dict[str, Any]) -> str:
    return (
        f"{found['rmspe']:.1%} | {found['within_5']:.0%} | {found['within_10']:.0%} | {found['kendall_tau']:.3f}"
    ).replace("%", " %")


def priced_a_second(wanted: TableSpec, table: LatencyTable) -> float:
    """Op list and look-up of genotypes drawn before."""
    rng = random.Random(0)
    drawn = [wanted.space.sample(RandomTrial(rng), wanted.classes, wanted.input_size) for _ in range(PRICED)]
    begun = time.perf_counter()
    for genotype in drawn:
        table.predict(wanted.space.graph(genotype))
    return PRICED / (time.perf_counter() - begun)


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--models", type=int, default=100)
    flags.add_argument("--converted", type=int, default=12)
    flags.add_argument("--seed", type=int, default=2026)
    flags.add_argument("--tables", type=Path, default=Path("runs/latency/benchmark"))
    given = flags.parse_args()
    space = get_space("deeplabv3plus")
    facts = HostTarget().facts()
    print(f"{facts['processor']}, {facts['cores']} cores, {facts['runtime']}, {time.strftime('%Y-%m-%d')}.\n")
    print("| table | build | predictor | RMSPE | within 5 % | within 10 % | Kendall tau | worst |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    last: list[str] = []
    for precision, threads, side in CASES:
        wanted = TableSpec(space, 8, (side, side), precision, HostTarget(threads))
        path = wanted.path(given.tables)
        path.unlink(missing_ok=True)
        begun = time.monotonic()
        table = build(wanted, path)
        built = time.monotonic() - begun
        found = check(wanted, table, given.models, given.seed)
        name = f"{precision}, {threads} thread{'s' * (threads > 1)}, {side}x{side}"
        print(f"| {name} | {built:.0f} s | table | {cells(found)} | {found['worst']['error']:+.1%} |")
        print(f"| | | MACs only | {cells(macs_only(found['networks']))} | |", flush=True)
        last.append(f"- {name}: worst {found['worst']['genotype']}, coverage {found['coverage']:.0%}")
        if (precision, threads, side) == CASES[0]:
            rate = priced_a_second(wanted, table)
            converted = check(wanted, table, given.converted, given.seed + 1, convert=True)
            last.append(f"- {rate:,.0f} genotypes priced a second on one core")
            last.append(f"- {converted['models']} networks through the converter: RMSPE {converted['rmspe']:.1%}")
    print("\n" + "\n".join(last))


if __name__ == "__main__":
    main()
