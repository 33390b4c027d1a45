"""python -m compress.delegates RUN|MODEL.tflite [--npu NAME ...] [--without-gpu] [--aot SOC] [--json FILE]: which
accelerator takes which op of a file, and what is left over.

XNNPACK is asked by loading the file, a GPU by running it (in software where there is none), the NPUs of Arm and
Qualcomm by compiling it. What comes from a published list is marked so. The report of a run shows the last table
(python -m nas.report RUN). docs/accelerators.md says more.
"""

import argparse
import re

from compress.latency.target_names import NPUS
from compress.stages.cli import Command, run_command
from compress.stages.flag_values import expand_path
from search_spaces.errors import InputError


def add_arguments(flags: argparse.ArgumentParser) -> None:
    """Adds the flags of the command.

    Args:
        flags: The command's parser.
    """
    flags.add_argument("model", type=expand_path, metavar="RUN|MODEL.tflite", help="a run folder, or a file")
    flags.add_argument("--npu", action="append", metavar="NAME", help=f"an NPU to compile for: {', '.join(NPUS)}")
    flags.add_argument("--without-gpu", action="store_true", help="do not run the file on a GPU")
    flags.add_argument(
        "--aot", metavar="SOC", help="also compile the file for a chip of Qualcomm, such as SM8750, to model.SOC.tflite"
    )
    flags.add_argument("--json", type=expand_path, metavar="FILE", help="also write the table here")


def run(given: argparse.Namespace) -> None:
    """Prints the table.

    Args:
        given: The flags.

    Raises:
        InputError: The file is missing or damaged, an NPU or a chip is not known, or its compiler is missing.
    """
    for name in given.npu or ():
        if name not in NPUS:
            raise InputError(f"--npu {name}: choose from {', '.join(NPUS)}")

    if given.aot and not re.fullmatch(r"[A-Za-z0-9]+", given.aot):
        raise InputError(f"--aot {given.aot}: give the name of a chip, such as SM8750")

    from compress.evaluation.accelerators import TRIED_NPUS, format_placements, placements, placements_record
    from compress.evaluation.hexagon import write_aot
    from compress.evaluation.placement import ACCELERATORS
    from compress.evaluation.tflite_file import read_runnable
    from compress.files.records import write_json
    from compress.latency.npu import Npu
    from compress.stages.config_file import CONFIG_FILE
    from compress.stages.run import npu_of, open_run

    path = given.model / "model.tflite" if given.model.is_dir() else given.model
    content = read_runnable(path)
    npus = {name: Npu(name) for name in given.npu or TRIED_NPUS}
    own = npu_of(open_run(given.model).config) if (given.model / CONFIG_FILE).is_file() else None
    if own is not None and (not given.npu or own.name in given.npu):
        npus[own.name] = own  # with the SRAM that the run may use
    found = placements(path, npus.values(), not given.without_gpu)
    record = placements_record(path, found)
    if given.json:
        write_json(given.json, record)
    if given.model.is_dir():
        write_json(given.model / ACCELERATORS, record)
    print(format_placements(content, found))
    if given.aot:
        made = path.with_name(f"{path.stem}.{given.aot}.tflite")
        write_aot(path, given.aot, made)
        print(f"{made}: {made.stat().st_size / 1024:.0f} KiB for {given.aot}")


COMMAND = Command("compress.delegates", __doc__, add_arguments, run)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
