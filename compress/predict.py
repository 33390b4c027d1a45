"""python -m compress.predict RUN|MODEL.tflite IMAGES|FOLDER|VIDEO ... [--out DIR] [--show-bands R,G,B]: runs a finished
model on your own pictures, scenes and videos.

Every picture gets a mask, whose values are class indices and whose palette has the class colours, and an overlay with a
legend. A TIFF of more than 16.8 million pixels is a scene and is read tile by tile. A GeoTIFF gets a GeoTIFF. Every
video gets a video with overlay. One JSON line for each picture or frame says which share of it each class has.
model.tflite and model.json are enough: they work wherever they are copied.
"""

import argparse
from pathlib import Path

from compress.stages.cli import Command, run_command
from compress.stages.command import add_model_argument, add_show_bands_argument
from compress.stages.flag_values import expand_path


def add_arguments(flags: argparse.ArgumentParser) -> None:
    """Adds the flags of the command.

    Args:
        flags: The command's parser.
    """
    add_model_argument(flags)
    flags.add_argument("inputs", type=expand_path, nargs="+", metavar="INPUT", help="pictures, videos, folders of them")
    flags.add_argument(
        "--out", type=expand_path, default=Path("predictions"), help="folder of the results (predictions)"
    )
    flags.add_argument("--smooth", action="store_true", help="smooth the classes of a video over time")
    flags.add_argument("--scene", action="store_true", help="go over every picture tile by tile, at its own scale")
    flags.add_argument(
        "--overlap", type=float, default=0.25, help="share of its side that a tile of a scene is blended over (0.25)"
    )
    add_show_bands_argument(flags)
    flags.add_argument("--threads", type=int, default=1, help="threads of the runtime (1)")


def run(given: argparse.Namespace) -> None:
    """Predicts.

    Args:
        given: The flags.
    """
    from compress.prediction.predict import Scenes, predict  # the parser must not wait for torch

    scenes = Scenes(given.scene, given.overlap)
    predict(given.model, given.inputs, given.out, given.smooth, given.threads, scenes, given.show_bands)


COMMAND = Command("compress.predict", __doc__, add_arguments, run)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
