"""The accuracy of a .tflite file on a validation split, as LiteRT runs it."""

import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import Tensor
from tqdm import tqdm

from compress.data.validation import Validation
from compress.evaluation import trial_run
from compress.evaluation.metrics import confusion
from compress.latency.timing import load
from compress.tflite.flatbuffer import read_tflite
from search_spaces.errors import InputError
from search_spaces.network import Network

CHUNK_IMAGES = 32  # run before their class maps are counted
# Interpreters that run images side by side, each with one thread and with memory for all values of its own. Two fill
# the two cores that the project is laid out for. The class maps do not depend on their number.
INTERPRETERS = 2
MAX_RUN_SECONDS = 120  # of one image


def read_runnable(path: Path, remedy: str = "export it again") -> bytes:
    """Reads a .tflite file, and runs it once on an image of zeros, so that a damaged one is refused here by name.

    Args:
        path: The file.
        remedy: What the user does when the file is missing or damaged.

    Returns:
        The bytes of the file.

    Raises:
        InputError: The file is missing or damaged, or LiteRT cannot run it.
    """
    content = read_tflite(path, remedy)
    if reason := _refusal(content):
        raise InputError(f"{path}: LiteRT cannot run it ({reason}); {remedy}")
    return content


def _refusal(content: bytes) -> str:
    """Why LiteRT cannot run a file; empty where it can."""
    command = [sys.executable, "-P", trial_run.__file__]  # -P: its neighbours hide no library
    try:
        tried = subprocess.run(command, input=content, capture_output=True, timeout=MAX_RUN_SECONDS)
    except subprocess.TimeoutExpired:
        return f"it takes more than {MAX_RUN_SECONDS} s"
    if tried.returncode < 0:
        return f"it ends with {signal.Signals(-tried.returncode).name}"
    words = (tried.stdout if tried.returncode == trial_run.REFUSED else tried.stderr).decode(errors="replace")
    return words.strip().rpartition("\n")[2] if tried.returncode else ""


def class_maps(model: bytes, pixels: Iterable[np.ndarray], interpreters: int) -> Iterator[np.ndarray]:
    """Runs a file on images.

    Each interpreter has one thread and runs images of its own: two interpreters of one thread do more in a second than
    one interpreter of two threads.

    Args:
        model: The bytes of the .tflite file.
        pixels: Images h,w,bands as int8, bytes minus 128. A uint8 file reads the bytes, a float file
            reads them as 0..1.
        interpreters: How many interpreters run side by side.

    Yields:
        The class map h,w of each image, in order. Of a file that gives logits it is their argmax.
    """
    loaded = [load(model, 1) for _ in range(interpreters)]
    (reads,), (makes,) = loaded[0].get_input_details(), loaded[0].get_output_details()
    idle: SimpleQueue[Interpreter] = SimpleQueue()
    for interpreter in loaded:
        idle.put(interpreter)

    def run(image: np.ndarray) -> np.ndarray:
        interpreter = idle.get()
        try:
            interpreter.set_tensor(reads["index"], as_fed(image, reads["dtype"])[None])
            interpreter.invoke()
            (made,) = interpreter.get_tensor(makes["index"])
        finally:  # else the images that wait for it would wait for ever
            idle.put(interpreter)
        return np.asarray(made.argmax(-1) if made.ndim == 3 else made)

    images = iter(pixels)
    with ThreadPoolExecutor(interpreters) as pool:
        while some := list(islice(images, CHUNK_IMAGES)):
            # all of them before the caller counts: torch's threads would be in their way
            yield from list(pool.map(run, some))


def as_fed(image: np.ndarray, dtype: type) -> np.ndarray:
    """An image in the type that a file reads.

    Args:
        image: h,w,bands as int8, bytes minus 128.
        dtype: Of the file's input: int8, uint8 or float32.

    Returns:
        h,w,bands of that type: the same integers, the bytes, or 0..1.
    """
    if dtype is np.int8:
        return image
    pixels = image.astype(np.int16) + 128
    return pixels.astype(np.uint8) if dtype is np.uint8 else pixels.astype(np.float32) / 255


def run_tflite(
    model: bytes, classes: int, validation: Validation, pixels: Iterable[np.ndarray], interpreters: int = INTERPRETERS
) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Runs a file over a split whose pixels are given, image by image.

    Args:
        model: The bytes of the .tflite file.
        classes: The number of classes.
        validation: The split.
        pixels: Its images at the file's resolution (`Validation.pixels`).
        interpreters: How many interpreters run side by side.

    Yields:
        For each image its pixel counts classes,classes (truth, predicted) and its class map h,w.
    """
    for class_map, mask in zip(class_maps(model, pixels, interpreters), validation.masks, strict=True):
        predicted = torch.from_numpy(class_map)[None].long()
        yield confusion(predicted, mask[None].long(), classes, validation.ignore), class_map


def evaluate_tflite(
    model: bytes, network: Network, validation: Validation, title: str
) -> tuple[Tensor, list[np.ndarray]]:
    """Runs the file of a network over the split, with a progress bar.

    Args:
        model: The bytes of the .tflite file.
        network: The network that the file was made from.
        validation: The split.
        title: What the progress bar says.

    Returns:
        Pixel counts classes,classes (truth, predicted), and the class map h,w of each image.
    """
    classes = network.genotype.classes
    counts, maps = torch.zeros(classes, classes, dtype=torch.long), []
    pixels = validation.pixels(network.genotype.resolution)
    ran = run_tflite(model, classes, validation, pixels)
    for counted, class_map in tqdm(ran, total=len(validation), desc=title, unit="image", dynamic_ncols=True):
        counts += counted
        maps.append(class_map.astype(np.uint8))  # at most 255 classes; an argmax has four or eight bytes a pixel
    return counts, maps
