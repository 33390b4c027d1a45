"""python -m compress.delegates RUN|MODEL.tflite [--npu NAME ...] [--without-gpu] [--json FILE]: which accelerator takes
which op of a file, and what is left over.

XNNPACK is asked by loading the file, a GPU by running it (in software where there is none), Arm's Ethos-U NPUs by
compiling it. What comes from a published list is marked so. docs/accelerators.md says more.
"""

import argparse

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
    flags.add_argument("--json", type=expand_path, metavar="FILE", help="also write the table here")


def run(given: argparse.Namespace) -> None:
    """Prints the table.

    Args:
        given: The flags.

    Raises:
        InputError: The file is missing or damaged, or an NPU is not known.
    """
    for name in given.npu or ():
        if name not in NPUS:
            raise InputError(f"--npu {name}: choose from {', '.join(NPUS)}")

    from dataclasses import asdict

    from compress.evaluation.accelerators import TRIED_NPUS, format_placements, placements
    from compress.evaluation.tflite_file import read_runnable
    from compress.files.records import write_json

    path = given.model / "model.tflite" if given.model.is_dir() else given.model
    content = read_runnable(path)
    found = placements(path, given.npu or TRIED_NPUS, not given.without_gpu)
    if given.json:
        write_json(given.json, {"model": str(path), "accelerators": [asdict(one) for one in found]})
    print(format_placements(content, found))


COMMAND = Command("compress.delegates", __doc__, add_arguments, run)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
