"""python benchmarks/deploy/run.py RUN: which exported file loads in which runtime and gives the same classes there.

Runs every file of an exported run over the validation split: .tflite by LiteRT, tflite-runtime 2.14, MediaPipe 0.10.21
and current and LiteRT.js in Chromium, .onnx by ONNX Runtime 1.15 and current, the packages of `python -m compress.ios
RUN` by the interpreter of their programs. Prints a markdown table: the shares of the pixels that get the class of
model.tflite and of the torch network, the mIoU, the median ms of a run with one thread, the size.

`make deploy-peers` makes the environments of the older runtimes. What is missing is a row that says so.
"""

import argparse
import platform
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import runtimes
import torch
from page import add_page_flag, write_table
from tqdm import tqdm
from truth import Truth, read_truth

from compress.latency.device_facts import processor_name
from compress.stages.cli import Parser, run_command
from compress.stages.run import open_run
from search_spaces.errors import InputError

ENVIRONMENTS = Path(".venv-deploy")  # of the makefile
TFLITE_FILES = ("model.tflite", "model.uint8.tflite", "model.mediapipe.tflite", "model.float.tflite")
ONNX_FILES = ("model.onnx", "model.int8.onnx")
PACKAGES = ("model.mlpackage", "model.w8.mlpackage", "model.w8a8.mlpackage")
MIN_AGREEMENT = 0.9  # with model.tflite; below it a runtime misreads the file
HEADER = ("file", "runtime", "loads", "as model.tflite", "as torch", "mIoU", "ms", "KiB")


@dataclass(frozen=True)
class Pair:
    """A file and what runs it.

    Attributes:
        file: In the run folder.
        runtime: Its name without the version.
        run: Runs the file on the images of the split.
    """

    file: Path
    runtime: str
    run: Callable[[], runtimes.Ran]


def flags() -> argparse.Namespace:
    """Reads the command line."""
    arguments = Parser(
        prog="python benchmarks/deploy/run.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("run", type=Path, metavar="RUN", help="an exported run folder")
    arguments.add_argument("--images", type=int, default=0, help="the first so many validation images (0: all)")
    arguments.add_argument(
        "--peers", type=Path, default=ENVIRONMENTS, metavar="DIR", help=f"environments ({ENVIRONMENTS})"
    )
    add_page_flag(arguments)
    return arguments.parse_args()


def pairs(run: Path, peers: Path, truth: Truth, stack: ExitStack) -> Iterator[Pair]:
    """Every file with every runtime of its format.

    Args:
        run: The run folder.
        peers: The folder of environments.
        truth: The images.
        stack: Closes what the runtimes hold open.

    Yields:
        A pair at a time.
    """
    work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    images = work / "images.npy"
    np.save(images, truth.images)
    here = Path(sys.executable)
    browser = runtimes.LiteRtJs(run, truth.images, work, stack)
    for name in TFLITE_FILES:
        for title, kind, python in (
            ("LiteRT", "tflite", here),
            ("tflite-runtime", "tflite", peers / "tflite214/bin/python"),
            ("MediaPipe", "mediapipe", peers / "mp21/bin/python"),
            ("MediaPipe", "mediapipe", peers / "mpnew/bin/python"),
        ):
            yield Pair(run / name, title, partial(runtimes.in_environment, python, kind, run / name, images))
        yield Pair(run / name, "LiteRT.js", partial(browser, run / name))
    for name in ONNX_FILES:
        for title, python in (("ONNX Runtime", peers / "ort115/bin/python"), ("ONNX Runtime", here)):
            yield Pair(run / name, title, partial(runtimes.in_environment, python, "onnx", run / name, images))
    for name in PACKAGES:
        package = run / "ios" / name
        yield Pair(package, "Core ML program by torch,", partial(runtimes.in_torch, package, truth.images))


def row(pair: Pair, truth: Truth) -> tuple[str, ...]:
    """Runs a pair.

    Args:
        pair: A file and what runs it.
        truth: What it is compared with.

    Returns:
        The cells of its row.
    """
    ran = pair.run()
    title = f"{pair.runtime} {ran.version}".strip()
    if ran.fault:
        return pair.file.name, title, f"no: {ran.fault}", "", "", "", "", size(pair.file)
    found = truth.compared(ran.maps)
    loads = "yes" if found.as_model >= MIN_AGREEMENT else "**yes, and gives wrong classes**"
    figures = (
        *(share(one) for one in (found.as_model, found.as_torch, found.miou)),
        "" if ran.ms is None else f"{ran.ms:.1f}",
    )
    return pair.file.name, title, loads, *figures, size(pair.file)


def share(value: float | None) -> str:
    """A fraction as a cell of the table; empty where there is none."""
    return "" if value is None else f"{value:.4f}"


def size(path: Path) -> str:
    """The size of a file, or of a folder's files, in KiB; empty where it is missing."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return f"{sum(file.stat().st_size for file in files) / 1024:.0f}" if files else ""


def main() -> None:
    """Measures and prints the table."""
    given = flags()
    torch.set_num_threads(1)
    for name in (*TFLITE_FILES, *ONNX_FILES):
        if not (given.run / name).is_file():
            raise InputError(f"{given.run / name} is missing; run python -m compress.export {given.run}")
    truth = read_truth(open_run(given.run), given.images)
    with ExitStack() as stack:
        todo = list(pairs(given.run, given.peers, truth, stack))
        rows = [row(pair, truth) for pair in tqdm(todo, desc="deploy", unit="file", dynamic_ncols=True)]
    command = f"python benchmarks/deploy/run.py {shlex.quote(str(given.run))}"
    table = [
        f"`{command}`: {len(truth.images)} images of {truth.height}x{truth.width}, one thread,",
        f"{platform.machine()}, {processor_name()}, Python {platform.python_version()}, {date.today()}",
        "",
        *("| " + " | ".join(cells) + " |" for cells in (HEADER, ("---",) * len(HEADER), *rows)),
    ]
    write_table(table, given.page, "table of runtimes")


if __name__ == "__main__":
    run_command(main)
