"""python benchmarks/peers/run.py --data landcover --steps N --work DIR: what other networks reach at which latency.

Trains every peer with each seed by SlimLab's own recipe, converts it by SlimLab's path, quantizes it to int8 and runs
the file over the validation split. Everything is kept in --work: a killed command goes on, several share the work.

The same command with --measure times one file of each network and SlimLab's models (--runs, --benefit) in one sitting,
which wants a quiet machine; it trains nothing. WORK/peers.md and WORK/peers.png show what is there.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from front import (
    failures,
    latencies,
    measure,
    peer_points,
    plot,
    read_benefit,
    read_searched,
    slimlab_points,
    table,
)
from peers import PEERS
from shipping import Variant, do_missing

from compress.data.layouts import LAYOUTS
from compress.files.atomic import write_atomically
from compress.files.records import read_json, write_json
from compress.stages.cli import Parser, run_command
from compress.stages.config import RunConfig
from compress.stages.flag_values import parse_input_size
from compress.stages.presets import PRESETS
from compress.stages.run import Run
from compress.training.device import share_cores
from search_spaces.errors import InputError

BUDGET_MS = 1.0  # a run folder has one; no peer is held to it


def flags() -> argparse.Namespace:
    arguments = Parser(
        prog="python benchmarks/peers/run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--work", type=Path, default=Path("runs/peers"), help="where everything is kept")
    arguments.add_argument("--data", default="landcover", help=f"as for nas.search ({', '.join(LAYOUTS)})")
    arguments.add_argument("--input-size", default="512", help="512 or HxW")
    arguments.add_argument("--preset", default="quick", choices=PRESETS, help="whose training recipe")
    arguments.add_argument("--like", type=Path, metavar="RUN", help="data, size and recipe of a run of nas.search")
    arguments.add_argument("--steps", type=int, default=1200, help="of each training")
    arguments.add_argument("--seeds", type=int, default=3, help="how many")
    arguments.add_argument("--peers", default=",".join(PEERS), help="names, default all: %(default)s")
    arguments.add_argument("--scales", default="1", help="shares of the input size at which peers see images: 1,0.5")
    arguments.add_argument("--measure", action="store_true", help="only measure latency; on a quiet machine")
    arguments.add_argument(
        "--runs", type=Path, nargs="*", default=[], metavar="RUN", help="finished runs of nas.search"
    )
    arguments.add_argument(
        "--benefit", type=Path, metavar="DIR", help="searched networks of benchmarks/benefit.py, trained as the peers"
    )
    return arguments.parse_args()


def config_of(given: argparse.Namespace) -> RunConfig:
    """With seed 0."""
    if given.like:
        config = given.like / "config.json"
        return RunConfig.from_dict({**read_json(config, "give a run of nas.search"), "seed": 0}, str(config))
    size = parse_input_size(given.input_size)
    return RunConfig(BUDGET_MS, data=given.data, input_size=size, preset=given.preset)


def begin(work: Path, config: RunConfig, steps: int) -> None:
    """Notes what the folder is for. Raises InputError when it is for something else."""
    path = work / "peers.json"
    if not path.exists():
        write_json(path, {"steps": steps, "settings": config.to_dict()})
        return
    begun = read_json(path, "delete it", dict)
    if (begun.get("steps"), RunConfig.from_dict(begun.get("settings", {}), str(path))) != (steps, config):
        raise InputError(f"{path} was begun with other settings or --steps; give another --work")


def variants_of(given: argparse.Namespace, config: RunConfig) -> list[Variant]:
    names = given.peers.split(",")
    if unknown := [name for name in names if name not in PEERS]:
        raise InputError(f"--peers {','.join(unknown)}: no such peers; choose from {', '.join(PEERS)}")
    try:
        scales = [float(scale) for scale in given.scales.split(",")]
    except ValueError:
        scales = []
    if not scales or not all(0 < scale <= 1 for scale in scales):
        raise InputError(f"--scales {given.scales}: give shares of 1, such as 1,0.75,0.5")
    if given.seeds < 1 or given.steps < 1:
        raise InputError(f"--seeds {given.seeds} --steps {given.steps}: give positive numbers")
    runs = [Run(given.work / f"seed-{seed}", replace(config, seed=seed)) for seed in range(given.seeds)]
    return [Variant(run, name, scale, given.steps) for run in runs for scale in scales for name in names]


def main() -> None:
    given = flags()
    share_cores()
    config = config_of(given)
    searched = read_searched(given.runs, config)
    if given.benefit:
        searched += read_benefit(given.benefit, config, given.steps)
    variants = variants_of(given, config)
    begin(given.work, config, given.steps)
    if given.measure:
        measure(variants, searched, given.work)
    else:
        do_missing(variants)
    ms = latencies(given.work)
    points, slimlab = peer_points(variants, ms), slimlab_points(searched, ms)
    text = table(points, slimlab, failures(variants))
    write_atomically(given.work / "peers.md", f"{text}\n".encode())
    plot(points, slimlab, given.work / "peers.png")
    print(f"\n{text}\n\n{given.work / 'peers.png'}")


if __name__ == "__main__":
    run_command(main)
