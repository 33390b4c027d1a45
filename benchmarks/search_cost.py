"""python benchmarks/search_cost.py --work DIR: what the main job takes, in time and in memory, on this machine.

Runs the commands a user gives, each as a process of its own in the empty folder DIR: the quick search with its latency
table built in it, the same with the table at hand, the stages after it, and a search of 500 candidates. Memory is the
largest resident size of the process or of one it started, as /usr/bin/time -v shows it.
Prints the table of benchmarks/search_cost.md.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from baseline import machine

CANDIDATES = 500


def timed(folder: Path, *arguments: str) -> float:
    """Seconds of a command."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-m", "nas.search", *arguments], cwd=folder, check=True)
    return time.monotonic() - begun


def peak_gib() -> float:
    """Of all commands so far."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--budget-ms", default="30")
    flags.add_argument("--work", type=Path, required=True, metavar="DIR", help="an empty folder, where the runs stay")
    given = flags.parse_args()
    folder = given.work
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SystemExit(f"{folder}: holds files already, which would be taken for figures of this run; name another")
    rows = []
    asked = ("--budget-ms", given.budget_ms)
    seconds = timed(folder, *asked, "--run", "first", "--search-only")
    rows.append(("quick search, latency table built in it", seconds))
    rows.append(("quick search, table at hand", timed(folder, *asked, "--run", "second", "--search-only")))
    figures = json.loads((folder / "runs/second/search/search.json").read_text())
    rows.append((f"- of that {figures['trials']} candidates", figures["wall_s"] - figures["finalists_s"]))
    rows.append(("- of that the finalists", figures["finalists_s"]))
    rows.append(("train, prune, distill, quantize, export", timed(folder, *asked, "--run", "second", "--resume")))
    of_search = peak_gib()
    many = folder / "runs/many"
    timed(folder, *asked, "--run", "many", "--search-only", "--trials", str(CANDIDATES))
    figures = json.loads((many / "search/search.json").read_text())
    scored_s = figures["wall_s"] - figures["finalists_s"]
    rows.append((f"{figures['trials']} candidates, {figures['refused']} more refused", scored_s))
    print(f"\n{machine()}, --budget-ms {given.budget_ms}\n")
    print("| | seconds |\n|---|---|")
    for what, seconds in rows:
        print(f"| {what} | {seconds:.0f} |")
    print(f"\nLargest resident size: {of_search:.2f} GiB in the main job, {peak_gib():.2f} GiB in all.")


if __name__ == "__main__":
    main()
