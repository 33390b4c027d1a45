"""The accuracy of a torch network, or of a .tflite file, on a validation split."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from compress.batches import Validation
from compress.metrics import confusion
from compress.timing import load
from search_spaces.network import Network


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
    interpreter = load(model, threads)
    (reads,), (makes,) = interpreter.get_input_details(), interpreter.get_output_details()
    for image, mask in zip(pixels, validation.masks, strict=True):
        given = image if reads["dtype"] is np.int8 else (image.astype(np.float32) + 128) / 255
        interpreter.set_tensor(reads["index"], given[None])
        interpreter.invoke()
        class_map = interpreter.get_tensor(makes["index"])
        counts = confusion(torch.from_numpy(class_map).long(), mask[None].long(), classes, validation.ignore)
        yield counts, class_map[0]
