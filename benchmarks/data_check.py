"""python benchmarks/data_check.py [--pairs 2000] [--other CHECKOUT --other-python PYTHON]: times the data check.

Writes pairs of CamVid's size (480x360, PNG) into a temporary folder and runs the check on them, each time in a new
process with nothing kept from before. With --other the check of another checkout takes turns with this one's, and the
ratio of the medians is printed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from compress.data.threads import map_in_threads

HERE = Path(__file__).parent.parent
SIZE = (360, 480)  # H, W
CLASSES = 11
VAL_SHARE = 0.2

# prints the CPU seconds and the wall seconds of a check; a checkout of before had other modules
TIMED = """
import sys, time
try:
    from compress.data.check import check
    from compress.data.dataset import open_data
except ImportError:
    from compress.check import check
    from compress.data import open_data
cpu, wall = time.process_time(), time.perf_counter()
check(open_data(sys.argv[1]))
print(time.process_time() - cpu, time.perf_counter() - wall)
"""


def write_pairs(folder: Path, pairs: int) -> None:
    """Writes smooth images with noise, and masks of blobs, as a `folder:` data set.

    Args:
        folder: An empty folder.
        pairs: How many pairs of both splits.
    """
    held_out = round(VAL_SHARE * pairs)
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (folder / split / kind).mkdir(parents=True)

    def write(i: int) -> None:
        rng = np.random.default_rng(i)
        split = "val" if i < held_out else "train"
        coarse = Image.fromarray(rng.integers(0, CLASSES, (9, 12)).astype(np.uint8))
        mask = np.asarray(coarse.resize(SIZE[::-1], Image.Resampling.NEAREST))
        shades = rng.integers(0, 200, (CLASSES, 3))[mask]
        image = (shades + rng.integers(0, 20, shades.shape)).astype(np.uint8)
        (folder / split / "images" / f"{i:05}.png").write_bytes(imagecodecs.png_encode(image, level=1))
        (folder / split / "masks" / f"{i:05}.png").write_bytes(imagecodecs.png_encode(mask))

    for _ in map_in_threads(write, range(pairs), "writing"):
        pass
    (folder / "classes.txt").write_text("".join(f"class{i}\n" for i in range(CLASSES)))


def check_seconds(checkout: Path, python: str, data: Path) -> tuple[float, float]:
    """Runs the check of a checkout in a new process.

    Args:
        checkout: The folder of the checkout.
        python: The interpreter.
        data: The data set.

    Returns:
        CPU seconds and wall seconds.
    """
    with tempfile.TemporaryDirectory() as elsewhere:  # where runs/data is empty
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        command = [python, "-c", TIMED, f"folder:{data}"]
        done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=True)
    cpu, wall = map(float, done.stdout.split())
    return cpu, wall


def print_figures(name: str, seconds: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Prints the medians of a checkout.

    Args:
        name: What the checkout is called.
        seconds: CPU and wall seconds of each run.

    Returns:
        The medians of CPU and wall seconds.
    """
    cpu, wall = (statistics.median(values) for values in zip(*seconds, strict=True))
    print(f"{name}: {cpu:.2f} s of CPU, {wall:.2f} s")
    return cpu, wall


def main() -> None:
    """Runs the benchmark."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pairs", type=int, default=2000)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--other", type=Path, help="another checkout, to take turns with")
    arguments.add_argument("--other-python", default=sys.executable, help="its interpreter (default: this one)")
    given = arguments.parse_args()
    checkouts = {"this checkout": (HERE, sys.executable)}
    if given.other is not None:
        checkouts["other checkout"] = (given.other, given.other_python)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in checkouts}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_pairs(data, given.pairs)
        for _ in range(given.repeats):
            for name, (checkout, python) in checkouts.items():
                seconds[name].append(check_seconds(checkout, python, data))
    figures = [print_figures(name, runs) for name, runs in seconds.items()]
    if len(figures) > 1:
        (cpu, wall), (other_cpu, other_wall) = figures
        print(f"ratio: {cpu / other_cpu:.3f} of the CPU time, {wall / other_wall:.3f} of the time")


if __name__ == "__main__":
    main()
