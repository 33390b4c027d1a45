"""python -m compress.verify RUN: runs the exported files themselves on the validation split and measures them.

The int8 file by the LiteRT interpreter: mIoU, median latency, number of int8 ops, agreement with the torch network it
was made from (share of pixels of the same class), in float and with int8 simulated. The ONNX file by ONNX Runtime:
agreement.
"""

import argparse

from compress.stages.cli import Command, run_command
from compress.stages.command import add_run_argument
from compress.stages.config_file import read_config


def run(given: argparse.Namespace) -> None:
    """Verifies the files, prints what was found and writes it to RUN/export/verify.json.

    Args:
        given: The flags.
    """
    path = given.run
    read_config(path)  # a folder that is no run is refused before anything heavy is imported

    from compress.files.records import write_json
    from compress.stages.records import require
    from compress.stages.run import open_run
    from compress.stages.shipped_figures import mean_over
    from compress.stages.verify import verify
    from compress.training.device import share_cores

    share_cores()
    opened = open_run(path)
    require(opened, "export")
    found = verify(opened)
    write_json(path / "export" / "verify.json", found)
    for name, value in found.items():
        for key, figure in value.items() if isinstance(value, dict) else [("", value)]:
            over = mean_over(found["classes"]) if name == "miou" else ""
            print(f"{' '.join((name, key)).strip():34} {format_figure(figure)}{over}")


def format_figure(figure: object) -> str:
    """Formats a figure for the terminal.

    Args:
        figure: A number, a text, a list, or the figures of a class by name.

    Returns:
        Its text; numbers that are not whole with four digits.
    """
    if isinstance(figure, dict):
        return ", ".join(f"{name} {format_figure(one)}" for name, one in figure.items())
    return f"{figure:.4f}" if isinstance(figure, float) else str(figure)


COMMAND = Command("compress.verify", __doc__, add_run_argument, run)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
