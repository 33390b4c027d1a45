"""python benchmarks/deploy/mistakes.py RUN: what it costs to feed a model wrongly.

Runs model.tflite over the validation split with pixels as they should be, and as apps often get them. Prints a markdown
table: the share of the pixels that keep their class, and the mIoU.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from page import add_page_flag, write_table
from truth import read_truth

from compress.evaluation.tflite_file import class_maps
from compress.stages.cli import Parser, run_command
from compress.stages.run import open_run

Change = Callable[[np.ndarray], np.ndarray]  # of an image H,W,3 in bytes


def turned(image: np.ndarray) -> np.ndarray:
    """Lying on its side, stretched to the size of the input: a phone's frame without its rotation."""
    return np.asarray(cv2.resize(np.rot90(image), image.shape[1::-1], interpolation=cv2.INTER_AREA))


def turned_back(class_map: np.ndarray) -> np.ndarray:
    """The class map of a turned image, upright."""
    lying = cv2.resize(class_map.astype(np.uint8), class_map.shape, interpolation=cv2.INTER_NEAREST)
    return np.asarray(np.rot90(lying, -1))


# bytes wrap around where they are read as signed ones: 200 becomes -56, which stands for the byte 72
MISTAKES: dict[str, Change] = {
    "as it should be": lambda image: image,
    "blue and red exchanged": lambda image: image[..., ::-1],
    "bytes to the file that reads int8, or the other way round": lambda image: image ^ 128,
    "lying on its side": turned,
    "half as bright": lambda image: image // 2,
}


def main() -> None:
    """Measures and prints the table."""
    flags = Parser(prog="python benchmarks/deploy/mistakes.py", description=__doc__)
    flags.formatter_class = argparse.RawDescriptionHelpFormatter
    flags.add_argument("run", type=Path, metavar="RUN", help="an exported run folder")
    add_page_flag(flags)
    given = flags.parse_args()
    torch.set_num_threads(1)
    run = open_run(given.run)
    truth = read_truth(run, 0)
    model = (run.path / "model.tflite").read_bytes()
    table = ["| fed | pixels with the same class | mIoU |", "|---|---|---|"]
    for name, change in MISTAKES.items():
        fed = ((change(image).astype(np.int16) - 128).astype(np.int8) for image in truth.images)
        maps = list(class_maps(model, fed, 1))
        found = truth.compared([turned_back(one) for one in maps] if change is turned else maps)
        table.append(f"| {name} | {found.as_model:.3f} | {found.miou:.3f} |")
    write_table(table, given.page, "table of mistakes")


if __name__ == "__main__":
    run_command(main)
