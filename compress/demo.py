"""python -m compress.demo RUN|MODEL.tflite [--out DIR] [--images FILE ...] [--show-bands R,G,B] [--serve] [--port N]: a
page that runs the model in a browser.

The page takes a photo or the camera and shows the classes, their shares and the milliseconds. --images adds images to
choose from. A model of other than three bands takes these alone: without --images the page has the first validation
images of RUN. --show-bands says which of their bands are shown. The page is one static folder
that any https host can serve; on a phone it can be installed and then works without a network. --serve shows it on this
machine. LiteRT.js, the runtime of the page, is fetched once by npm.
"""

import argparse
import contextlib
from pathlib import Path

from compress.stages.cli import Command, run_command
from compress.stages.command import add_model_argument, add_show_bands_argument
from compress.stages.flag_values import expand_path
from search_spaces.ops import RGB_BANDS

PORT = 8123
IMAGES = 6  # of the validation split, on a page without a camera


def add_arguments(flags: argparse.ArgumentParser) -> None:
    """Adds the flags of the command.

    Args:
        flags: The command's parser.
    """
    add_model_argument(flags)
    flags.add_argument("--out", type=expand_path, help="folder of the page (default: demo beside the model)")
    flags.add_argument("--images", type=expand_path, nargs="+", default=[], metavar="FILE", help="images on the page")
    add_show_bands_argument(flags)
    flags.add_argument("--serve", action="store_true", help="serve it on this machine")
    flags.add_argument("--port", type=int, default=PORT, help=f"of --serve ({PORT})")


def run(given: argparse.Namespace) -> None:
    """Writes the demo and serves it when asked to.

    Args:
        given: The flags.
    """
    from compress.apps.demo.build import build_demo  # the parser must not wait for numpy and LiteRT
    from compress.apps.demo.serve import open_server

    out = given.out or (given.model if given.model.is_dir() else given.model.parent) / "demo"
    server = open_server(out, given.port) if given.serve else None  # a port in use is said before anything is written
    build_demo(given.model, out, given.images or validation_images(given.model), given.show_bands)
    print(f"{out}: the demo; any https host can serve this folder")
    if server is not None:
        print(f"http://localhost:{server.server_port}/ shows it on this machine; Ctrl-C ends it", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def validation_images(model: Path) -> list[Path]:
    """The images that a page shows where a camera cannot give them and the user names none.

    Args:
        model: A run folder, or a .tflite file.

    Returns:
        The first validation images of a run whose network takes other than three bands; none of any other model.
    """
    from compress.prediction.card import find_model, read_card
    from compress.stages.run import open_run

    if not model.is_dir() or len(read_card(find_model(model)[1]).pixels.bands) == RGB_BANDS:
        return []
    return [pair.image for pair in open_run(model).data.val[:IMAGES]]


COMMAND = Command("compress.demo", __doc__, add_arguments, run)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
