"""python benchmarks/big_sets.py [SET ...] [--share 1] [--folder DIR]: data sets of published sizes on a small machine.

Writes as many pairs as VOC 2012, VOC with SBD, Cityscapes and ADE20K have, in their sizes and layouts, into a temporary
folder, and removes them. The pictures are blocks of colour, so that they take little disk; photographs take longer to
decode. On each set it runs, every time in a new process with nothing kept from before, and measures seconds and peak
memory, children included:

- python -m compress.check with the input size,
- one epoch of training batches of the preset standard, and one pass over the validation split.

benchmarks/big_sets.md is what it prints. --share 0.01 takes every hundredth pair.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import simplejpeg
from process_memory import Ran, run_measured

from compress.data.threads import map_in_threads

HERE = Path(__file__).parent.parent
BLOCK = 16  # pixels a side of the blocks of colour

EPOCH = """
import sys, time
from compress.data.batches import training_batches
from compress.data.crops import Crops
from compress.data.dataset import open_data
from compress.data.validation import read_validation
from compress.stages.presets import PRESETS
size = tuple(map(int, sys.argv[2].split("x")))
data = open_data(sys.argv[1], 0, size)
schedule = PRESETS["standard"].train
begun = time.perf_counter()
crops = Crops(data, size, schedule.crop, len(data.train) // schedule.batch * schedule.batch, 0)
for images, masks in training_batches(crops, schedule.batch, 0):
    pass
epoch = time.perf_counter()
validation = read_validation(data, size)
for images, masks in validation.batches(size):
    pass
print(epoch - begun, time.perf_counter() - epoch)
"""


@dataclass(frozen=True)
class BigSet:
    """A data set of published size.

    Attributes:
        layout: The layout of `--data`.
        train: Pairs of the training split.
        val: Pairs of the validation split.
        size: Height and width of the images, in pixels.
        classes: The values of its masks, from 0.
        write: Writes the files of a pair: folder, split, number, image, mask.
        finish: Writes the lists, where the layout has some: folder, numbers of pairs of both splits.
        inputs: The input sizes that are measured.
    """

    layout: str
    train: int
    val: int
    size: tuple[int, int]
    classes: int
    write: Callable[[Path, str, int, np.ndarray, np.ndarray], None]
    finish: Callable[[Path, int, int], None]
    inputs: tuple[str, ...]


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _jpeg(image: np.ndarray) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=90))


def _png(pixels: np.ndarray) -> bytes:
    return bytes(imagecodecs.png_encode(pixels, level=1))


def _write_voc(folder: Path, split: str, number: int, image: np.ndarray, mask: np.ndarray) -> None:
    _put(folder / "JPEGImages" / f"{split}{number:05}.jpg", _jpeg(image))
    _put(folder / "SegmentationClass" / f"{split}{number:05}.png", _png(mask))


def _list_voc(folder: Path, train: int, val: int) -> None:
    for split, count in (("train", train), ("val", val)):
        lines = "".join(f"{split}{number:05}\n" for number in range(count))
        _put(folder / "ImageSets" / "Segmentation" / f"{split}.txt", lines.encode())


def _write_cityscapes(folder: Path, split: str, number: int, image: np.ndarray, mask: np.ndarray) -> None:
    name = f"city_{number:06}_000019"
    _put(folder / "leftImg8bit" / split / "city" / f"{name}_leftImg8bit.png", _png(image))
    _put(folder / "gtFine" / split / "city" / f"{name}_gtFine_labelIds.png", _png(mask))


def _write_ade20k(folder: Path, split: str, number: int, image: np.ndarray, mask: np.ndarray) -> None:
    name = {"train": "training", "val": "validation"}[split]
    _put(folder / "images" / name / f"ADE_{split}_{number:08}.jpg", _jpeg(image))
    _put(folder / "annotations" / name / f"ADE_{split}_{number:08}.png", _png(mask))


def _no_list(folder: Path, train: int, val: int) -> None:
    pass


SETS = {
    "cityscapes": BigSet(
        "cityscapes", 2975, 500, (1024, 2048), 34, _write_cityscapes, _no_list, ("1024x2048", "512x1024")
    ),
    "voc": BigSet("voc", 1464, 1449, (375, 500), 21, _write_voc, _list_voc, ("512x512",)),
    "voc-sbd": BigSet("voc", 10_582, 1449, (375, 500), 21, _write_voc, _list_voc, ("512x512",)),
    "ade20k": BigSet("ade20k", 20_210, 2000, (512, 683), 151, _write_ade20k, _no_list, ("512x512",)),
}


def write_set(folder: Path, made: BigSet, share: float) -> None:
    """Writes the files of a set.

    Args:
        folder: An empty folder.
        made: The set.
        share: Of its pairs.
    """
    counts = {"train": max(20, round(share * made.train)), "val": max(4, round(share * made.val))}
    height, width = made.size

    def write(item: tuple[str, int]) -> None:
        rng = np.random.default_rng((len(item[0]), item[1]))
        coarse = rng.integers(0, made.classes, (-(-height // BLOCK), -(-width // BLOCK))).astype(np.uint8)
        shades = rng.integers(0, 256, (256, 3)).astype(np.uint8)[coarse] // 8 * 8
        picture, mask = (
            cv2.resize(part, (width, height), interpolation=cv2.INTER_NEAREST) for part in (shades, coarse)
        )
        made.write(folder, *item, picture, mask)

    items = [(split, number) for split, count in counts.items() for number in range(count)]
    for _ in map_in_threads(write, items):
        pass
    made.finish(folder, counts["train"], counts["val"])


def measure(name: str, share: float, folder: Path) -> None:
    """Measures a set and prints its lines of the table.

    Args:
        name: One of SETS.
        share: Of its pairs.
        folder: Where the files are written; it is left empty.
    """
    made = SETS[name]
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        data = Path(temporary) / "data"
        data.mkdir()
        write_set(data, made, share)
        spec = f"{made.layout}:{data}"
        gib = sum(path.stat().st_size for path in data.rglob("*") if path.is_file()) / 2**30
        for size in made.inputs:
            with tempfile.TemporaryDirectory(dir=folder) as elsewhere:  # where runs/data is empty
                command = [sys.executable, "-m", "compress.check", spec, "--input-size", size]
                check = run_measured(command, Path(elsewhere))
                epoch = run_measured([sys.executable, "-c", EPOCH, spec, size], Path(elsewhere))
            trained, validated = map(float, epoch.out.split())
            what = f"{name}, {made.size[1]}x{made.size[0]}, {gib:.1f} GiB"
            cells = (what, size, _cost(check), f"{trained:,.0f} s", f"{validated:,.0f} s", f"{_gib(epoch.peak)} GiB")
            print(f"| {' | '.join(cells)} |", flush=True)


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f}"


def _cost(ran: Ran) -> str:
    return f"{ran.seconds:,.0f} s | {_gib(ran.peak)} GiB"


def main() -> None:
    """Runs the measurements."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("sets", nargs="*", metavar="SET", default=list(SETS), help=", ".join(SETS))
    flags.add_argument("--share", type=float, default=1.0, help="of the pairs of each set (1)")
    flags.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where files are written")
    given = flags.parse_args()
    unknown = [name for name in given.sets if name not in SETS]
    if unknown:
        flags.error(f"{unknown[0]} is none of {', '.join(SETS)}")
    given.folder.mkdir(parents=True, exist_ok=True)
    os.environ["PYTHONPATH"] = str(HERE)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start\n")
    print("| set | input size | check | its peak | an epoch's crops | a validation pass | their peak |")
    print("|---|---|---|---|---|---|---|")
    for name in given.sets:
        measure(name, given.share, given.folder)


if __name__ == "__main__":
    main()
