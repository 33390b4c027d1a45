"""How far two forms of a network agree on the validation split."""

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from compress.data.validation import Validation
from search_spaces.network import Network


@torch.inference_mode()
def agreement(maps: list[np.ndarray], network: Network, validation: Validation) -> float:
    """Share of pixels to which the torch network gives the class that the maps give."""
    same = [
        float((network(images).argmax(1)[0].numpy() == class_map).mean())
        for (images, _), class_map in zip(validation.batches(network.genotype.resolution), maps, strict=False)
    ]
    return float(np.mean(same))


def run_onnx(path: Path, network: Network, validation: Validation, images: int) -> list[np.ndarray]:
    """Class maps of the first images, as ONNX Runtime computes them."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    maps = []
    for pixels, _ in validation.batches(network.genotype.resolution):
        (class_map,) = session.run(None, {"pixels": np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())})
        maps.append(np.asarray(class_map)[0])
        if len(maps) == images:
            break
    return maps
