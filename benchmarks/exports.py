"""python benchmarks/exports.py --data camvid:DIR FOLDER: writes a data set as tools export it, and reads it back.

FOLDER/coco gets the images and outlines of COCO's form, FOLDER/roboflow Roboflow's semantic export. Each connected
region becomes one outline along the edges of its pixels. Regions inside of others are smaller, so they lie on top. Void
is a category of that name. Prints how many pixels have the class that they had, and the IoU of each class with itself.
Trainings on FOLDER/coco and FOLDER/roboflow show what the way through outlines costs.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from compress.data.dataset import IGNORE, DataSet, open_data, read_pair
from compress.evaluation.metrics import confusion, iou_per_class

FINER = 4  # times a mask is enlarged, so that outlines run along the edges of pixels
SPLITS = {"train": "train", "val": "valid"}  # Roboflow's folders


def outlines(mask: np.ndarray, value: int) -> list[list[float]]:
    """The outer outline of each connected region of a value.

    Args:
        mask: H,W bytes.
        value: The value.

    Returns:
        Of each region x0, y0, x1, y1 and so on, in pixels.
    """
    finer = np.kron((mask == value).astype(np.uint8), np.ones((FINER, FINER), np.uint8))
    found, levels = cv2.findContours(finer, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    outer = [contour for contour, level in zip(found, levels[0], strict=True) if level[3] < 0] if found else []
    return [((contour.reshape(-1, 2) + 0.5) / FINER).ravel().tolist() for contour in outer]


def write_coco(data: DataSet, folder: Path) -> None:
    """Writes images and outlines of COCO's form.

    Args:
        data: The data set.
        folder: The folder to make.
    """
    categories = [{"id": i, "name": name} for i, name in enumerate(data.classes, 1)]
    categories.append({"id": 0, "name": "void"})
    for split, name in SPLITS.items():
        (folder / name).mkdir(parents=True)
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for pair in getattr(data, split):
            mask = read_pair(pair, data)[1]
            shutil.copy(pair.image, folder / name)
            entry = {"id": len(images), "file_name": pair.image.name, "height": mask.shape[0], "width": mask.shape[1]}
            images.append(entry)
            for value in np.unique(mask).tolist():
                category = 0 if value == IGNORE else value + 1
                annotations += [
                    {"image_id": entry["id"], "category_id": category, "iscrowd": 0, "segmentation": [outline]}
                    for outline in outlines(mask, value)
                ]
        value = {"images": images, "categories": categories, "annotations": annotations}
        (folder / name / "_annotations.coco.json").write_text(json.dumps(value))


def write_roboflow(data: DataSet, folder: Path) -> None:
    """Writes images and masks side by side with their classes.

    Args:
        data: The data set.
        folder: The folder to make.
    """
    rows = "".join(f"{i}, {name}\n" for i, name in enumerate(data.classes))
    for split, name in SPLITS.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "_classes.csv").write_text(f"Pixel Value, Class\n{rows}")
        for pair in getattr(data, split):
            shutil.copy(pair.image, folder / name)
            mask = read_pair(pair, data)[1]
            Image.fromarray(mask).save(folder / name / f"{pair.image.stem}_mask.png")


def compare(data: DataSet, other: DataSet, shift: int) -> None:
    """Prints how well the masks of another data set are those of the first.

    Args:
        data: The first data set.
        other: The same images in the same order.
        shift: What is added to a class index in the other data set.
    """
    classes = len(other.classes)
    counts = torch.zeros(classes, classes, dtype=torch.long)
    equal = total = 0
    for pair, twin in zip((*data.train, *data.val), (*other.train, *other.val), strict=True):
        truth, read = read_pair(pair, data)[1], read_pair(twin, other)[1]
        moved = np.where(truth == IGNORE, truth, truth + shift)
        guess, known = (torch.from_numpy(mask.astype(np.int64))[None] for mask in (read, moved))
        counts += confusion(guess.clamp(max=classes), known, classes, IGNORE)  # void read is one class more
        equal += int((read == moved).sum())
        total += read.size
    print(f"{other.spec}: {equal / total:.5f} of {total:,} pixels have the class that they had")
    for name, iou in zip(other.classes, iou_per_class(counts).tolist(), strict=True):
        print(f"  {name:20} IoU {iou:.4f}")


def main() -> None:
    """Writes both exports and compares them."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", required=True, help="the data set, as for nas.search")
    arguments.add_argument("folder", type=Path)
    given = arguments.parse_args()
    data = open_data(given.data)
    write_coco(data, given.folder / "coco")
    compare(data, open_data(f"coco:{given.folder / 'coco'}"), 1)
    write_roboflow(data, given.folder / "roboflow")
    compare(data, open_data(f"roboflow:{given.folder / 'roboflow'}"), 0)


if __name__ == "__main__":
    main()
