"""What the class maps of a runtime are compared with: model.tflite, the torch network, the masks of the split."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch.nn import functional as F

from compress.data.validation import Validation
from compress.evaluation.metrics import confusion, mean_iou
from compress.evaluation.tflite_file import class_maps
from compress.stages.run import Run
from search_spaces.network import Network


@dataclass(frozen=True)
class Compared:
    """How the class maps of a runtime compare.

    Attributes:
        as_model: Share (0..1) of the pixels with the class that model.tflite gives.
        as_torch: The same of the torch network; None where there is none.
        miou: mIoU (0..1) against the masks; None where a map has classes that the model does not have.
    """

    as_model: float
    as_torch: float | None
    miou: float | None


@dataclass(frozen=True)
class Truth:
    """The validation images and what is known of them.

    Attributes:
        images: N,H,W,3 bytes, RGB, of the size that the model reads.
        in_model: The class map h,w of each as model.tflite gives it.
        in_torch: The same of the torch network; None where there is none.
        validation: The split, which has the masks.
        classes: The number of classes.
    """

    images: np.ndarray
    in_model: Sequence[np.ndarray]
    in_torch: Sequence[np.ndarray] | None
    validation: Validation
    classes: int

    @property
    def height(self) -> int:
        """Of the images, in pixels."""
        return int(self.images.shape[1])

    @property
    def width(self) -> int:
        """Of the images, in pixels."""
        return int(self.images.shape[2])

    def compared(self, maps: Sequence[np.ndarray]) -> Compared:
        """Compares the class maps of a runtime.

        Args:
            maps: Class indices h,w of each image.

        Returns:
            Agreements and mIoU.
        """
        as_torch = None if self.in_torch is None else same(maps, self.in_torch)
        if max(int(one.max()) for one in maps) >= self.classes:
            return Compared(same(maps, self.in_model), as_torch, None)
        counts = torch.zeros(self.classes, self.classes, dtype=torch.long)
        for class_map, mask in zip(maps, self.validation.masks, strict=False):
            found = torch.from_numpy(np.asarray(class_map, np.int64))[None]
            counts += confusion(found, mask[None].long(), self.classes, self.validation.ignore)
        return Compared(same(maps, self.in_model), as_torch, mean_iou(counts))


def same(maps: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
    """The share (0..1) of equal pixels. Where the sizes differ, the others are enlarged by nearest neighbour."""
    shares = []
    for one, other in zip(maps, others, strict=True):
        if one.shape != other.shape:
            large = F.interpolate(
                torch.from_numpy(other.astype(np.float32))[None, None], one.shape, mode="nearest-exact"
            )
            other = large[0, 0].numpy()
        shares.append(np.mean(one == other))
    return float(np.mean(shares))


def read_truth(run: Run, images: int) -> Truth:
    """Reads the split and runs model.tflite and the torch network over it.

    Args:
        run: The run, exported.
        images: The first so many; 0 takes all.

    Returns:
        The images and what is known of them.
    """
    validation, resolution = run.validation, run.genotype.resolution
    count = min(images or len(validation), len(validation))
    pixels = list(islice(validation.pixels(resolution), count))
    in_model = list(class_maps((run.path / "model.tflite").read_bytes(), pixels, 1))
    in_torch = torch_maps(run.network("distill"), validation, count) if run.made("distill").is_file() else None
    as_bytes = np.stack([(image.astype(np.int16) + 128).astype(np.uint8) for image in pixels])
    return Truth(as_bytes, in_model, in_torch, validation, len(run.data.classes))


@torch.inference_mode()
def torch_maps(network: Network, validation: Validation, count: int) -> list[np.ndarray]:
    """The class maps h,w that a torch network gives to the first images of a split."""
    batches = islice(validation.batches(network.genotype.resolution), count)
    return [network(images).argmax(1)[0].numpy() for images, _ in batches]
