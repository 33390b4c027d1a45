"""python -m compress.ios RUN [--out DIR] [--images N]: Core ML packages of a run's network and a SwiftUI sample.

Three packages: float16, int8 weights, int8 weights and values with the ranges of the int8 file. Each takes an RGB
picture and gives the class map, with labels and colours for Xcode's preview. Each is run on validation images here, by
an interpreter of its program, and held to model.tflite.
"""

import argparse

from compress.stages.cli import Command, run_command
from compress.stages.command import add_run_argument
from compress.stages.config_file import read_config
from compress.stages.flag_values import expand_path

IMAGES = 8


def add_arguments(arguments: argparse.ArgumentParser) -> None:
    """Adds the flags of the command.

    Args:
        arguments: The command's parser.
    """
    add_run_argument(arguments)
    arguments.add_argument("--out", type=expand_path, help="folder of packages and sample (default: RUN/ios)")
    arguments.add_argument("--images", type=int, default=IMAGES, help=f"validation images to check on ({IMAGES})")


def run(given: argparse.Namespace) -> None:
    """Writes the packages and prints what was found.

    Args:
        given: The flags.
    """
    path = given.run
    read_config(path)  # a folder that is no run is refused before anything heavy is imported

    from compress.stages.ios import ios

    ios(path, given.out or path / "ios", given.images)


COMMAND = Command("compress.ios", __doc__, add_arguments, run)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
