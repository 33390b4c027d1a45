"""Tiny data sets as annotation tools export them, written in the form of each tool."""

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow
import pyarrow.parquet
from made_data import PALETTE, Made, by_value, save, write

from compress.data.dataset import open_data


def roboflow(root: Path) -> Made:
    """Images and masks side by side; the file of classes has a blank after each comma."""
    names = [
        (root / split / f"{i}_jpg.rf.0f3a.jpg", root / split / f"{i}_jpg.rf.0f3a_mask.png")
        for split in ("train", "valid")
        for i in range(3)
    ]
    made = write(f"roboflow:{root}", 3, names, 3, by_value([0, 1, 2]))
    save(made.train[0].pixels, root / "test" / "0_jpg.rf.0f3a.jpg")  # is not read
    for split in ("train", "valid", "test"):
        (root / split / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, car\n2, traffic light\n")
    return made


LABELMAP = """# label:color_rgb:parts:actions
road:128,64,128::
car:0,0,142::
traffic light:250,170,30::
void:0,0,0::
"""


def cvat(root: Path) -> Made:
    """Masks of colours; images in JPEGImages under the names of their folders."""
    names = [
        (root / "JPEGImages" / f"{name}.jpg", root / "SegmentationClass" / f"{name}.png")
        for name in ("seq1/0", "seq1/1", "seq2/0", "seq3/0", "seq3/1")
    ]
    made = write(f"cvat:{root}", 3, names, 3, lambda truth: PALETTE[truth])
    (root / "labelmap.txt").write_text(LABELMAP)
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("seq1/0\nseq1/1\nseq2/0\n")
    (lists / "val.txt").write_text("seq3/0\nseq3/1\n")
    return made


def parquet(root: Path) -> Made:
    """As `datasets` of Hugging Face writes it: bytes and names of files, two files for training."""
    names = [(root / "made" / f"{i}.jpg", root / "made" / f"{i}.png") for i in range(5)]
    made = write(f"parquet:{root}", 3, names, 3, by_value([0, 1, 2]))
    (root / "data").mkdir()
    for file, examples in (
        ("train-00000-of-00002", made.train[:2]),
        ("train-00001-of-00002", made.train[2:]),
        ("validation-00000-of-00001", made.val),
    ):
        columns = {
            "image": [{"bytes": one.image.read_bytes(), "path": one.image.name} for one in examples],
            "label": [{"bytes": one.mask.read_bytes(), "path": None} for one in examples],
        }
        pyarrow.parquet.write_table(pyarrow.table(columns), root / "data" / f"{file}.parquet")
    shutil.rmtree(root / "made")
    data = open_data(made.spec)
    return replace(
        made,
        **{
            split: [replace(one, image=pair.image, mask=pair.mask) for one, pair in zip(examples, pairs, strict=True)]
            for split, examples, pairs in (("train", made.train, data.train), ("val", made.val, data.val))
        },
    )


DATA_SETS = [roboflow, cvat, parquet]
