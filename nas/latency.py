"""python -m nas.latency build | check | show: latency lookup tables.

build                    measures every op the space can ask for and fits how ops join to whole networks
check [--json FILE]      compares predictions with fresh random networks, measured whole on the target
show FILE                prints a table
"""

import argparse
import time
from pathlib import Path

from compress.files.atomic import RUNS
from compress.files.records import write_json
from compress.latency.builder import build
from compress.latency.check import check
from compress.latency.show import format_check, format_table
from compress.latency.spec import TableSpec, load_table
from compress.latency.table import read_table
from compress.latency.target_names import TARGET_FORMS
from compress.latency.targets import open_target
from compress.stages.cli import parser, run_command
from compress.stages.config import parse_input_size
from compress.tflite.writer import PRECISIONS
from search_spaces import SPACES, get_space
from search_spaces.errors import InputError


def main() -> None:
    flags = parser(__doc__, "nas.latency")
    verbs = flags.add_subparsers(dest="verb", required=True, metavar="build | check | show")
    for verb in ("build", "check"):
        _add_spec(verbs.add_parser(verb))
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
        remedy = (
            f"build it again with python -m nas.latency build --table {given.table} and the flags it was built with"
        )
        print(format_table(read_table(given.table, remedy)))
        return
    spec = TableSpec(
        get_space(given.space),
        given.classes,
        parse_input_size(given.input_size),
        given.precision,
        open_target(given.target, given.threads),
    )
    path = given.table or spec.path(RUNS / "latency")
    if given.verb == "build":
        begun = time.monotonic()
        table = build(spec, path)
        print(
            f"{path}: {table.provenance['ops']} ops in {time.monotonic() - begun:.0f} s, "
            f"RMSPE {table.residuals['rmspe']:.1%} on {table.residuals['models']:.0f} networks not fitted"
        )
        return
    if given.models < 1:
        raise InputError(f"--models {given.models}: give a positive number")
    found = check(spec, load_table(path, spec), given.models, given.seed, given.convert)
    if given.json:
        write_json(given.json, found)
    print(format_check(found))


def _add_spec(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--space", default="deeplabv3plus", help=", ".join(SPACES))
    verb.add_argument("--input-size", default="512", help="512 or HEIGHTxWIDTH")
    verb.add_argument("--classes", type=int, default=8, help="classes of the data set: the head depends on them")
    verb.add_argument("--precision", default="int8", choices=PRECISIONS)
    verb.add_argument("--target", default="host", help=TARGET_FORMS)
    verb.add_argument("--threads", type=int, default=1, help="threads of the runtime on the target")
    verb.add_argument("--table", type=Path, help="the file (default: under runs/latency)")


if __name__ == "__main__":
    run_command(main)
