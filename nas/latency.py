"""python -m nas.latency build | check | show: latency lookup tables.

build                    measures every op the space can ask for and fits how ops join to whole networks
check [--json FILE]      compares predictions with fresh random networks, measured whole on the target
show FILE                prints a table
"""

import argparse
import random
import tempfile
import time
from dataclasses import replace
from functools import lru_cache
from functools import partial as later
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from compress.files.atomic import RUNS
from compress.files.records import write_json
from compress.latency.builder import NETWORKS, TableSpec, build, control_network_files, load_table, median_unit
from compress.latency.repeats import combine, measure_repeatedly
from compress.latency.table import LatencyTable
from compress.latency.targets import SPELLINGS, open_target
from compress.stages.cli import parser, run_command
from compress.stages.config import parse_input_size
from compress.tflite.conversion import quantize_tflite, write_float_tflite
from compress.tflite.writer import FLOAT32, PRECISIONS, random_weight_model
from search_spaces import SPACES, costs, get_space
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network
from search_spaces.trials import RandomTrial

CHECK = replace(NETWORKS, title="check", least=4)  # looks at one network differ by some percent


def check(wanted: TableSpec, table: LatencyTable, models: int, seed: int, convert: bool = False) -> dict[str, Any]:
    """Relative errors of predictions on random networks that no table was fitted on. Those with an op that the
    table does not cover are counted, not predicted. With `convert` the files come from the converter, as an
    exported model's does; without, from the op list (`compress.tflite.writer`). `drift` is by how much the table's
    yardsticks take longer now than when it was built: the measured latencies are what they would have been then."""
    rng = random.Random(f"check {seed}")
    drawn = [wanted.space.sample(RandomTrial(rng), wanted.classes, wanted.input_size) for _ in range(models)]
    files = {str(i): later(model_file, genotype, wanted.precision, convert) for i, genotype in enumerate(drawn)}
    looks = measure_repeatedly(wanted.target, files, CHECK, yardsticks=control_network_files(wanted))
    unit_ms = table.provenance["yardsticks_ms"]
    rows: list[dict[str, Any]] = []
    for genotype, made in zip(drawn, looks.values(), strict=True):
        measured_ms = combine(made)["units"] * unit_ms
        rows.append({"genotype": genotype, "measured_ms": measured_ms, **_prediction(table, wanted, genotype)})
    drift = median_unit(looks) * table.provenance["reference_ms"] / unit_ms - 1
    return {**summarize(rows), "drift": drift}


@lru_cache(200)  # a conversion takes 12 s, and a network is looked at more than once
def model_file(genotype: Genotype, precision: str, convert: bool) -> bytes:
    if not convert:
        return random_weight_model(get_space(genotype.space).graph(genotype), precision)
    with tempfile.TemporaryDirectory() as folder:
        path, log = Path(folder) / "float.tflite", Path(folder) / "log"
        write_float_tflite(Network(genotype).eval(), path, log)
        if precision == FLOAT32:
            return path.read_bytes()
        samples = [np.random.default_rng(0).random((1, *genotype.resolution, 3), np.float32)]
        return quantize_tflite(path, samples, log)


def _prediction(table: LatencyTable, wanted: TableSpec, genotype: Genotype) -> dict[str, Any]:
    graph = wanted.space.graph(genotype)
    try:
        return {"predicted_ms": table.predict(graph), "macs": costs.macs(graph)}
    except InputError as error:
        return {"predicted_ms": None, "macs": costs.macs(graph), "missing": str(error)}


def summarize(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of a check, and what they were computed from."""
    covered = [row for row in rows if row["predicted_ms"] is not None]
    if not covered:
        raise InputError(f"none of {len(rows)} networks is covered by the table: {rows[0]['missing']}")
    predicted, measured = (np.array([row[key] for row in covered]) for key in ("predicted_ms", "measured_ms"))
    errors = predicted / measured - 1
    worst = int(np.argmax(np.abs(errors)))
    return {
        "models": len(rows),
        "coverage": len(covered) / len(rows),
        "rmspe": float(np.sqrt(np.mean(errors**2))),
        "within_5": float(np.mean(np.abs(errors) <= 0.05)),
        "within_10": float(np.mean(np.abs(errors) <= 0.10)),
        "kendall_tau": float(kendalltau(predicted, measured).statistic) if len(covered) > 1 else float("nan"),
        "worst": {"error": float(errors[worst]), **_plain(covered[worst])},
        "networks": [_plain(row) for row in rows],
    }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "genotype": str(row["genotype"])}


def show(table: LatencyTable) -> str:
    """What the table is made for, how well it fits, and each family's fastest and slowest op."""
    lines = [f"{name:14} {value}" for name, value in {**table.made_for, **table.provenance}.items()]
    lines += [f"{'coefficients':14} " + ", ".join(f"{name} {value:.3f}" for name, value in table.coefficients.items())]
    lines += [f"{'residuals':14} " + ", ".join(f"{name} {value:.3g}" for name, value in table.residuals.items()), ""]
    lines += [f"{'family':44} {'channels':>24} {'ms, least':>10} {'most':>10}"]
    for name, family in table.families.items():
        ranges = " x ".join(f"{axis[0]}-{axis[-1]}" for axis in family.axes)
        known = [ms for ms in family.ms if ms == ms]
        lines.append(f"{name:44} {ranges:>24} {min(known):10.4f} {max(known):10.4f}")
    return "\n".join(lines)


def main() -> None:
    flags = parser(__doc__, "nas.latency")
    verbs = flags.add_subparsers(dest="verb", required=True, metavar="build | check | show")
    for verb in ("build", "check"):
        _add_wanted(verbs.add_parser(verb))
    checking = verbs.choices["check"]
    checking.add_argument("--models", type=int, default=30, help="random networks to measure")
    checking.add_argument("--seed", type=int, default=0)
    checking.add_argument("--convert", action="store_true", help="networks from the converter, 12 s each")
    checking.add_argument("--json", type=Path, help="also write the figures here")
    verbs.add_parser("show").add_argument("table", type=Path)
    given = flags.parse_args()
    if given.verb == "show":
        if not given.table.is_file():
            raise InputError(
                f"{given.table} is missing; python -m nas.latency build writes tables to {RUNS / 'latency'}"
            )
        print(show(LatencyTable.from_json(given.table.read_text(errors="replace"), str(given.table))))
        return
    wanted = TableSpec(
        get_space(given.space),
        given.classes,
        parse_input_size(given.input_size),
        given.precision,
        open_target(given.target, given.threads),
    )
    path = given.table or wanted.path(RUNS / "latency")
    if given.verb == "build":
        begun = time.monotonic()
        table = build(wanted, path)
        print(
            f"{path}: {table.provenance['ops']} ops in {time.monotonic() - begun:.0f} s, "
            f"RMSPE {table.residuals['rmspe']:.1%} on {table.residuals['models']:.0f} networks not fitted"
        )
        return
    if given.models < 1:
        raise InputError(f"--models {given.models}: give a positive number")
    found = check(wanted, load_table(path, wanted), given.models, given.seed, given.convert)
    if given.json:
        write_json(given.json, found)
    print(
        f"{found['models']} networks, {found['coverage']:.0%} covered by the table: "
        f"RMSPE {found['rmspe']:.2%}, within 5 % {found['within_5']:.0%}, "
        f"within 10 % {found['within_10']:.0%}, Kendall tau {found['kendall_tau']:.3f}, "
        f"worst {found['worst']['error']:+.1%}: {found['worst']['genotype']}; the machine took "
        f"{found['drift']:+.1%} longer than when the table was built (taken out of the figures)"
    )


def _add_wanted(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--space", default="deeplabv3plus", help=", ".join(SPACES))
    verb.add_argument("--input-size", default="512", help="512 or HEIGHTxWIDTH")
    verb.add_argument("--classes", type=int, default=8, help="classes of the data set: the head depends on them")
    verb.add_argument("--precision", default="int8", choices=PRECISIONS)
    verb.add_argument("--target", default="host", help=SPELLINGS)
    verb.add_argument("--threads", type=int, default=1, help="threads of the runtime on the target")
    verb.add_argument("--table", type=Path, help="the file (default: under runs/latency)")


if __name__ == "__main__":
    run_command(main)
