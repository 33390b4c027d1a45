"""Tiny data sets whose masks are outlines, as annotation tools write them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from made_data import SIZE, Example, Made, drawing, save
from pycocotools import mask as coco_mask

from compress.data.dataset import open_data
from compress.data.labels import IGNORE

BLOCK = 8  # pixels a side of the blocks of `drawing`
VOID_ROWS = 2
NAMES = ("car", "traffic light")  # classes 1 and 2
Truths = dict[Path, tuple[np.ndarray, np.ndarray]]  # pixels and class map of each image


def images(folder: Path, names: list[str], seed: int) -> Truths:
    """Writes images; returns what they hold."""
    rng, truths = np.random.default_rng(seed), {}
    for name in names:
        pixels, truth = drawing(rng, 1 + len(NAMES))
        save(pixels, folder / name)
        truths[folder / name] = (pixels, truth)
    return truths


def boxes(truth: np.ndarray) -> list[tuple[int, int, int, int, int]]:
    """Class, left, top, right and bottom of each block with an object, above which the void rows are left free."""
    height, width = SIZE
    found = []
    for top in range(0, height, BLOCK):
        for left in range(0, width, BLOCK):
            kind, first = int(truth[top + VOID_ROWS, left]), max(top, VOID_ROWS)
            found += [(kind, left, first, left + BLOCK, top + BLOCK)] if kind else []
    return found


def corners(left: int, top: int, right: int, bottom: int) -> list[list[int]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def made(spec: str, truths: Truths) -> Made:
    """The data set as it is read, with what its masks must be."""
    data = open_data(spec)
    train, val = (
        [Example(pair.image, pair.mask, *truths[pair.image]) for pair in pairs] for pairs in (data.train, data.val)
    )
    return Made(spec, 1 + len(NAMES), train, val)


def coco_annotations(truths: Truths, compressed: bool) -> dict[str, Any]:
    """Outlines of all objects but the last of each image, which is run lengths; a crowd that covers all of the image's
    upper half, below the objects, and the void rows."""
    entries: list[dict[str, Any]] = []
    listed = [
        {"id": 10 + i, "file_name": image.name, "height": SIZE[0], "width": SIZE[1]} for i, image in enumerate(truths)
    ]
    for entry, (_, truth) in zip(listed, truths.values(), strict=True):
        void = coco_mask.encode(np.asfortranarray(truth == IGNORE).astype(np.uint8))
        runs = {"size": void["size"], "counts": void["counts"].decode()}
        entries.append({"image_id": entry["id"], "category_id": 7, "iscrowd": 1, "segmentation": runs})
        for kind, *box in boxes(truth):
            outline = [number for corner in corners(*box) for number in corner]
            entries.append({"image_id": entry["id"], "category_id": 2 + 5 * kind, "segmentation": [outline]})
        last = np.zeros(SIZE, np.uint8)
        kind, left, top, right, bottom = boxes(truth)[-1]
        last[top:bottom, left:right] = 1
        columns = np.flatnonzero(np.diff(last.ravel(order="F"), prepend=0, append=2)).tolist()
        entries[-1]["segmentation"] = {"size": list(SIZE), "counts": np.diff(columns, prepend=0).tolist()}
        if compressed:
            packed = coco_mask.encode(np.asfortranarray(last))
            entries[-1]["segmentation"] = {"size": packed["size"], "counts": packed["counts"].decode()}
    entries = [{"id": i, "iscrowd": 0, **entry} for i, entry in enumerate(entries)]
    categories = [{"id": 2 + 5 * i, "name": name, "supercategory": "things"} for i, name in enumerate(NAMES, 1)]
    return {"info": {"version": "1.0"}, "images": listed, "categories": categories, "annotations": entries}


def coco(root: Path) -> Made:
    """As COCO is published."""
    truths: Truths = {}
    for split in ("train2017", "val2017"):
        own = images(root / split, [f"{i:012}.jpg" for i in range(3)], len(truths))
        (root / "annotations").mkdir(exist_ok=True)
        file = root / "annotations" / f"instances_{split}.json"
        file.write_text(json.dumps(coco_annotations(own, compressed=split == "val2017")))
        (root / "annotations" / f"captions_{split}.json").write_text('{"images": [], "annotations": []}')
        truths |= own
    return made(f"coco:{root}", truths)


def coco_roboflow(root: Path) -> Made:
    """As Roboflow exports it: an unused category stands above the others."""
    truths: Truths = {}
    for split in ("train", "valid", "test"):
        own = images(root / split, [f"{i}_jpg.rf.0f3a.jpg" for i in range(3)], len(truths))
        value = coco_annotations(own, compressed=False)
        value["categories"].insert(0, {"id": 0, "name": "things", "supercategory": "none"})
        (root / split / "_annotations.coco.json").write_text(json.dumps(value))
        truths |= own
    return made(f"coco:{root}", truths)


def coco_file(root: Path) -> Made:
    """As CVAT exports a task: one file, whose validation split is drawn."""
    truths = images(root / "images", [f"{i}.jpg" for i in range(6)], 0)
    (root / "annotations").mkdir()
    file = root / "annotations" / "instances_default.json"
    file.write_text(json.dumps(coco_annotations(truths, compressed=True)))
    return made(f"coco:{file}", truths)


def labelme(root: Path) -> Made:
    """A polygon, a rectangle or a bitmap in turns; the void rows are a polygon of the label `__ignore__`."""
    truths: Truths = {}
    for split in ("train", "val"):
        own = images(root / split, [f"{i}.jpg" for i in range(3)], len(truths))
        for image, (_, truth) in own.items():
            shapes = [shape(NAMES[kind - 1], *box) for kind, *box in boxes(truth)]
            for i, (_, left, top, right, bottom) in enumerate(boxes(truth)):
                if i % 2:
                    shapes[i] |= {"shape_type": "rectangle", "points": [[right, top], [left, bottom]]}
            shapes.append(shape("__ignore__", 0, 0, SIZE[1], VOID_ROWS))
            shapes.append({"label": "car", "points": [[1, 1]], "shape_type": "point", "flags": {}})
            value = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": image.name, "imageData": None}
            value |= {"imageHeight": SIZE[0], "imageWidth": SIZE[1]}
            image.with_suffix(".json").write_text(json.dumps(value))
        truths |= own
    return made(f"labelme:{root}", truths)


def shape(label: str, left: int, top: int, right: int, bottom: int) -> dict[str, Any]:
    points = [[float(x), float(y)] for x, y in corners(left, top, right, bottom)]
    return {"label": label, "points": points, "group_id": None, "shape_type": "polygon", "flags": {}}


def yolo(root: Path) -> Made:
    """As Roboflow exports it: the folders in data.yaml are those of another place. There is no void."""
    truths: Truths = {}
    for split in ("train", "valid"):
        own = images(root / split / "images", [f"{i}.jpg" for i in range(3)], len(truths))
        write_labels(own)
        truths |= own
    (root / "data.yaml").write_text(
        "train: ../train/images\nval: ../valid/images\nnc: 3\nnames: ['car', 'traffic light', 'void']\n"
    )
    return made(f"yolo:{root}", truths)


def yolo_numbered(root: Path) -> Made:
    """As Ultralytics writes it: images/train, names with numbers."""
    truths: Truths = {}
    for split in ("train", "val"):
        own = images(root / "images" / split, [f"{i}.jpg" for i in range(3)], len(truths))
        write_labels(own)
        truths |= own
    (root / "dataset.yaml").write_text(
        "path: /datasets/own\ntrain: images/train\nval: images/val\nnames:\n  1: traffic light\n  0: car\n  2: void\n"
    )
    return made(f"yolo:{root}", truths)


def write_labels(truths: Truths) -> None:
    for image, (_, truth) in truths.items():
        every = [(kind - 1, *box) for kind, *box in boxes(truth)] + [(2, 0, 0, SIZE[1], VOID_ROWS)]
        lines = [
            " ".join([str(kind), *(f"{x / SIZE[1]:.6f} {y / SIZE[0]:.6f}" for x, y in corners(*box))])
            for kind, *box in every
        ]
        file = Path(str(image.parent).replace("images", "labels")) / f"{image.stem}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines) + "\n")


DATA_SETS = [coco, coco_roboflow, coco_file, labelme, yolo, yolo_numbered]
