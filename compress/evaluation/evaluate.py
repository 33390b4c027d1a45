"""The accuracy of a torch network, or of a .tflite file, on a validation split."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import Tensor
from tqdm import tqdm

from compress.data.validation import Validation
from compress.evaluation.metrics import confusion
from compress.latency.timing import load
from search_spaces.network import Network

CHUNK = 32  # images
EVALUATION_THREADS = 2


@torch.inference_mode()
def evaluate(network: Network, validation: Validation, device: torch.device) -> Tensor:
    """Confusion counts (truth, predicted) over the split at the input size; the network in eval mode."""
    network.eval()
    classes = network.genotype.classes
    total = torch.zeros(classes, classes, dtype=torch.long, device=device)
    for images, masks in validation.batches(network.genotype.resolution):
        images = images.to(device, memory_format=torch.channels_last)
        predicted = network(images).argmax(1)
        total += confusion(predicted, masks.to(device), classes, validation.ignore)
    return total.cpu()


def run_tflite(
    model: bytes, classes: int, validation: Validation, pixels: Iterable[np.ndarray], threads: int
) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Confusion counts and class map h,w of a file for each image of the split, whose `Validation.pixels` are given;
    a float file reads them as 0..1."""
    for class_map, mask in zip(class_maps(model, pixels, threads), validation.masks, strict=True):
        predicted = torch.from_numpy(class_map)[None].long()
        yield confusion(predicted, mask[None].long(), classes, validation.ignore), class_map


def class_maps(model: bytes, pixels: Iterable[np.ndarray], threads: int) -> Iterator[np.ndarray]:
    """Class map h,w of each image, in order. Every thread runs images of its own: two interpreters of one thread do
    more in a second than one of two."""
    interpreters = [load(model, 1) for _ in range(threads)]
    (reads,), (makes,) = interpreters[0].get_input_details(), interpreters[0].get_output_details()
    idle: SimpleQueue[Interpreter] = SimpleQueue()
    for interpreter in interpreters:
        idle.put(interpreter)

    def run(image: np.ndarray) -> np.ndarray:
        given = image if reads["dtype"] is np.int8 else (image.astype(np.float32) + 128) / 255
        interpreter = idle.get()
        try:
            interpreter.set_tensor(reads["index"], given[None])
            interpreter.invoke()
            (class_map,) = interpreter.get_tensor(makes["index"])
        finally:  # else the images that wait for it would wait for ever
            idle.put(interpreter)
        return np.asarray(class_map)

    images = iter(pixels)
    with ThreadPoolExecutor(threads) as pool:
        while some := list(islice(images, CHUNK)):
            yield from list(pool.map(run, some))  # all before the caller counts: torch's threads would be in their way


def evaluate_tflite(
    model: bytes, network: Network, validation: Validation, bar: "tqdm[Any]"
) -> tuple[Tensor, list[np.ndarray]]:
    """Confusion counts of a file over the split, and its class maps h,w in order."""
    classes = network.genotype.classes
    counts, maps = torch.zeros(classes, classes, dtype=torch.long), []
    pixels = validation.pixels(network.genotype.resolution)
    for counted, class_map in run_tflite(model, classes, validation, pixels, EVALUATION_THREADS):
        counts += counted
        maps.append(class_map)
        bar.update()
    return counts, maps
