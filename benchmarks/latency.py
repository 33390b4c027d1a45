"""python benchmarks/latency.py [--models N] [--seed S] [--only CASE ...]: how well latency tables predict networks.

For each case a table is built from nothing and checked on random networks that no table was fitted on. A predictor that
sees MACs alone is fitted on those very networks, which favours it. Two more figures: how many genotypes a second the
table prices on one core, and how well it predicts networks that went through the converter. Prints the tables of
benchmarks/latency.md.
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

CASES = {
    "int8": ("int8", 1, 512),
    "float32": ("float32", 1, 512),
    "threads": ("int8", 2, 512),
    "small": ("int8", 1, 256),
}
PRICED = 3000


def macs_only(networks: list[dict[str, Any]]) -> dict[str, float]:
    """Fits a predictor that sees MACs alone: least squares of relative errors, an intercept and a slope.

    Args:
        networks: `macs` and `measured_ms` of each. The predictor is fitted on these very networks.

    Returns:
        The figures of `compress.latency.check.summarize`.
    """
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
    """Formats figures for a row of the table.

    Args:
        found: What `check` or `macs_only` returned.

    Returns:
        Four cells.
    """
    return (
        f"{found['rmspe']:.1%} | {found['within_5']:.0%} | {found['within_10']:.0%} | {found['kendall_tau']:.3f}"
    ).replace("%", " %")


def priced_a_second(spec: TableSpec, table: LatencyTable) -> float:
    """How many genotypes a second a table prices.

    Args:
        spec: What the table was made for.
        table: The table.

    Returns:
        Genotypes a second, op list and look-up together, on one core.
    """
    rng = random.Random(0)
    drawn = [spec.space.sample(RandomTrial(rng), spec.classes, spec.input_size) for _ in range(PRICED)]
    begun = time.perf_counter()
    for genotype in drawn:
        table.predict(spec.space.graph(genotype))
    return PRICED / (time.perf_counter() - begun)


def main() -> None:
    """Builds and checks a table for each case and prints the figures."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--models", type=int, default=100)
    flags.add_argument("--converted", type=int, default=12)
    flags.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), help="cases (default: all)")
    flags.add_argument("--seed", type=int, default=2026)
    flags.add_argument("--tables", type=Path, default=Path("runs/latency/benchmark"))
    given = flags.parse_args()
    space = get_space("deeplabv3plus")
    facts = HostTarget().facts()
    print(f"{facts['processor']}, {facts['cores']} cores, {facts['runtime']}, {time.strftime('%Y-%m-%d')}.\n")
    print("| table | build | predictor | RMSPE | within 5 % | within 10 % | Kendall tau | worst |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    last: list[str] = []
    for case in given.only:
        precision, threads, side = CASES[case]
        spec = TableSpec(space, 8, (side, side), precision, HostTarget(threads))
        path = spec.path(given.tables)
        path.unlink(missing_ok=True)
        begun = time.monotonic()
        table = build(spec, path)
        built = time.monotonic() - begun
        found = check(spec, table, given.models, given.seed)
        name = f"{precision}, {threads} thread{'s' * (threads > 1)}, {side}x{side}"
        print(f"| {name} | {built:.0f} s | table | {cells(found)} | {found['worst']['error']:+.1%} |")
        print(f"| | | MACs only | {cells(macs_only(found['networks']))} | |", flush=True)
        last.append(f"- {name}: worst {found['worst']['genotype']}, coverage {found['coverage']:.0%}")
        if case == "int8":
            rate = priced_a_second(spec, table)
            converted = check(spec, table, given.converted, given.seed + 1, convert=True)
            last.append(f"- {rate:,.0f} genotypes priced a second on one core")
            last.append(f"- {converted['models']} networks through the converter: RMSPE {converted['rmspe']:.1%}")
    print("\n" + "\n".join(last))


if __name__ == "__main__":
    main()
