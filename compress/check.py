"""python -m compress.check DATA: says what a data set holds and what is wrong with it, before anything is trained.

DATA is what `nas.search --data` takes, such as folder:DIR. Every file is read. Faults are listed on stderr, a line for
each file, with exit code 2. Without faults a summary is printed: pairs, sizes, bands, classes with their shares of the
labelled pixels, files that are not used, copies. With --preview some images and their masks are drawn.
"""

import argparse

from compress.data.layouts import LAYOUTS
from compress.data.spec import parse_data
from compress.stages.cli import Command, run_command
from compress.stages.command import add_show_bands_argument
from compress.stages.flag_values import expand_path, parse_input_size
from compress.stages.presets import PRESETS

CROPS_OF = "quick"  # the preset whose crops are described


def add_arguments(arguments: argparse.ArgumentParser) -> None:
    """Adds the flags of the command.

    Args:
        arguments: The command's parser.
    """
    arguments.add_argument("data", metavar="DATA", help=", ".join(LAYOUTS.values()))
    arguments.add_argument(
        "--input-size", help="512 or HEIGHTxWIDTH: says what the data set takes at this size, and what crops show"
    )
    arguments.add_argument("--seed", type=int, default=0, help="draws the split of a folder that has none")
    arguments.add_argument("--preview", type=expand_path, metavar="FILE.png", help="draws some images with their masks")
    add_show_bands_argument(arguments)


def run(given: argparse.Namespace) -> None:
    """Checks the data set and prints what it holds.

    Args:
        given: The flags.
    """
    input_size = parse_input_size(given.input_size) if given.input_size else None
    parse_data(given.data)  # a data set that is not there is refused before anything heavy is imported

    from compress.data.check import check
    from compress.data.crop_shares import describe_crops
    from compress.data.dataset import open_data
    from compress.data.preview import draw_preview, require_png
    from compress.data.scenes import TILE
    from compress.data.shown_bands import shown_channels
    from compress.data.summary import describe_data, describe_input_size

    if given.preview is not None:
        require_png(given.preview)
    data = open_data(given.data, given.seed, input_size or TILE)
    shown_channels(data.pixels, given.show_bands)  # bands that are not there are said before all files are read
    findings = check(data)
    print(describe_data(data, findings))
    if input_size is not None:
        print(describe_input_size(data, input_size))
        print(describe_crops(data, input_size, PRESETS[CROPS_OF].train.crop, given.seed))
    if given.preview is not None:
        draw_preview(data, given.preview, findings.turned, given.show_bands)
        print(f"preview: {given.preview}")


COMMAND = Command("compress.check", __doc__, add_arguments, run)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
