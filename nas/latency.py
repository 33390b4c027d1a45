"""python -m nas.latency build | check | show: latency lookup tables.

build                    measures every op the space can ask for and fits how ops join to whole networks
build --from TABLE       makes a table from that of another device: few ops and networks are measured
build --energy           measures the energy of whole networks too, where the target has a sensor
check [--json FILE]      compares predictions with fresh random networks, measured whole on the target
show FILE                prints a table
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compress.files.atomic import RUNS
from compress.latency.cores import CORES_FORMS, check_cores
from compress.latency.target_names import (
    BINARY_HELP,
    BINARY_UNSET,
    SENSOR_HELP,
    SENSOR_UNSET,
    TARGET_FORMS,
    VELA,
    check_threads,
    parse_target,
)
from compress.stages.choices import PRECISION_NAMES, SPACE_NAMES
from compress.stages.cli import GOES_ON, Command, run_command
from compress.stages.config import RunConfig
from compress.stages.flag_values import check_input_size, expand_path, parse_input_size
from compress.stages.flags import add_flags, check_choices, flag, values_of
from search_spaces import get_space
from search_spaces.errors import InputError
from search_spaces.genotype import MAX_BANDS
from search_spaces.ops import RGB_BANDS

if TYPE_CHECKING:  # importing it takes seconds
    from compress.latency.spec import TableSpec

GROUP = "what the table is for"


@dataclass(frozen=True)
class TableFlags:
    """Flags of `build` and `check`: what a table is for.

    Attributes:
        classes: Classes of the data set; the head's cost depends on them.
        bands: Bands of its images; the stem's cost depends on them.
        table: The table's file; None for its place under runs/latency.

    Raises:
        InputError: A value is wrong; the line names the flag.
    """

    space: str = flag(GROUP, "the search space", RunConfig.space, choices=SPACE_NAMES)
    input_size: tuple[int, int] = flag(
        GROUP, "size of the images in pixels: 512 or HEIGHTxWIDTH", (512, 512), parse=parse_input_size, unset="512",
        metavar="SIZE",
    )  # fmt: skip
    classes: int = flag(GROUP, "classes of the data set; the head depends on them", 8, type=int, metavar="N")
    bands: int = flag(GROUP, "bands of the images; the stem depends on them", RGB_BANDS, type=int, metavar="N")
    precision: str = flag(GROUP, "precision of the ops", "int8", choices=PRECISION_NAMES)
    target: str = flag(GROUP, f"where latency counts: {TARGET_FORMS}", RunConfig.target)
    threads: int = flag(GROUP, "threads of the runtime on the target", RunConfig.threads, type=int, metavar="N")
    cores: str = flag(GROUP, "cores of the target", RunConfig.cores, listed=CORES_FORMS, metavar="CORES")
    benchmark_model: str = flag(GROUP, BINARY_HELP, RunConfig.benchmark_model, unset=BINARY_UNSET, metavar="FILE")
    energy_sensor: str = flag(GROUP, SENSOR_HELP, RunConfig.energy_sensor, unset=SENSOR_UNSET, metavar="SENSOR")
    table: Path | None = flag(
        GROUP, "the table's file", None, parse=expand_path, unset="its place under runs/latency", metavar="FILE"
    )

    def __post_init__(self) -> None:
        check_choices(self)
        check_input_size(self.input_size)
        check_threads(parse_target(self.target), self.threads)
        check_cores(self.cores)
        if parse_target(self.target).kind == VELA:
            raise InputError(f"--target {self.target}: Vela prices whole networks in the search; it needs no table")
        if self.classes < 2:
            raise InputError(f"--classes {self.classes}: give 2 or more")
        if not 1 <= self.bands <= MAX_BANDS:
            raise InputError(f"--bands {self.bands}: give 1 to {MAX_BANDS}")


def add_arguments(arguments: argparse.ArgumentParser) -> None:
    """Adds the verbs with their flags.

    Args:
        arguments: The command's parser.
    """
    verbs = arguments.add_subparsers(dest="verb", required=True, metavar="build | check | show")
    build, checking, show = (verbs.add_parser(verb) for verb in ("build", "check", "show"))
    for verb in (build, checking):
        add_flags(verb, TableFlags)
    build.add_argument(
        "--from", dest="source", type=expand_path, metavar="TABLE", help="start from the table of another device"
    )
    build.add_argument(
        "--energy", action="store_true", help="add measured energy to the table, built where it is missing"
    )
    checking.add_argument("--models", type=int, default=30, help="random networks to measure (default: 30)")
    checking.add_argument("--seed", type=int, default=0, help="seed of the networks (default: 0)")
    checking.add_argument("--convert", action="store_true", help="networks from the converter, 12 s each")
    checking.add_argument("--json", type=expand_path, metavar="FILE", help="also write the figures here")
    show.add_argument("table", type=expand_path, metavar="TABLE", help="a table's file")


def run(given: argparse.Namespace) -> None:
    """Does what the verb says.

    Args:
        given: The flags.
    """
    if given.verb == "show":
        show_table(given.table)
        return
    if given.verb == "check" and given.models < 1:
        raise InputError(f"--models {given.models}: give a positive number")
    chosen = TableFlags(**values_of(TableFlags, vars(given)))

    from compress.latency.spec import TableSpec
    from compress.latency.targets import open_target

    target = open_target(
        chosen.target,
        chosen.threads,
        cores=chosen.cores,
        binary=chosen.benchmark_model,
        energy_sensor=chosen.energy_sensor,
    )
    spec = TableSpec(get_space(chosen.space, chosen.bands), chosen.classes, chosen.input_size, chosen.precision, target)
    path = chosen.table or spec.path(RUNS / "latency")
    if given.verb == "build" and given.energy:
        build_energy(spec, path)
    elif given.verb == "build":
        build_table(spec, path, given.source)
    else:
        check_table(spec, path, given)


def show_table(path: Path) -> None:
    """Prints a table.

    Args:
        path: The table's file.

    Raises:
        InputError: The file is missing or damaged.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing; python -m nas.latency build writes tables to {RUNS / 'latency'}")

    from compress.latency.show import format_table
    from compress.latency.table import read_table

    remedy = f"build it again with python -m nas.latency build --table {path} and the flags it was built with"
    print(format_table(read_table(path, remedy)))


def build_table(spec: "TableSpec", path: Path, source: Path | None = None) -> None:
    """Builds a table and prints how well it fits.

    Args:
        spec: What the table is for.
        path: Where it is written.
        source: The table of another device to start from; None to measure everything.

    Raises:
        InputError: The table to start from is missing or for other networks.
    """
    if source is not None and not source.is_file():
        raise InputError(f"--from {source} is missing; python -m nas.latency build writes tables")

    from compress.latency.builder import build
    from compress.latency.transfer import transfer

    begun = time.monotonic()
    table = build(spec, path) if source is None else transfer(spec, source, path)
    print(
        f"{path}: {table.provenance['ops']} ops in {time.monotonic() - begun:.0f} s, "
        f"RMSPE {table.residuals['rmspe']:.1%} on {table.residuals['models']:.0f} networks not fitted"
    )


def build_energy(spec: "TableSpec", path: Path) -> None:
    """Adds energy to a table, which is built where it is missing, and prints how well it fits.

    Args:
        spec: What the table is for.
        path: The table's file.

    Raises:
        InputError: The target has no sensor of energy, or the table is for something else.
    """
    from compress.latency.energy_builder import add_energy
    from compress.latency.spec import load_table

    spec.target.energy_sensor_name()  # or there is none, which is said before anything is measured
    if not path.is_file():
        build_table(spec, path)
    table = add_energy(spec, load_table(path, spec), path)
    assert table.energy
    print(
        f"{path}: energy by {table.energy.sensor}, RMSPE {table.energy.residuals['rmspe']:.1%} on "
        f"{table.energy.residuals['models']:.0f} networks not fitted"
    )


def check_table(spec: "TableSpec", path: Path, given: argparse.Namespace) -> None:
    """Compares a table's predictions with fresh networks, measured whole, and prints the figures.

    Args:
        spec: What the table is for.
        path: The table's file.
        given: The flags of `check`.
    """
    from compress.files.records import write_json
    from compress.latency.check import check
    from compress.latency.show import format_check
    from compress.latency.spec import load_table

    found = check(spec, load_table(path, spec), given.models, given.seed, given.convert)
    if given.json:
        write_json(given.json, found)
    print(format_check(found))


COMMAND = Command("nas.latency", __doc__, add_arguments, run, GOES_ON)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
