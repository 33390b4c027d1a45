"""The validation split at the input size: kept in memory, or read again in each pass when it is too large for that."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
import torch
from torch import Tensor

from compress.data.area import shrunk
from compress.data.dataset import IGNORE, DataSet, Pair, map_pairs
from compress.data.decoding import decode_image, decode_mask
from compress.data.memory import VALIDATION_CACHE_BYTES, validation_bytes
from compress.data.resizing import at_resolution
from compress.data.threads import map_in_threads


@dataclass(frozen=True)
class Streamed:
    """Arrays that are read from files when they are asked for, in threads and in bounded memory.

    Attributes:
        pairs: The pair of each array.
        read: Reads one.
    """

    pairs: tuple[Pair, ...]
    read: Callable[[Pair], np.ndarray]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> Tensor:
        """Reads an array.

        Args:
            i: Its index.

        Returns:
            The array.

        Raises:
            InputError: The file cannot be read.
        """
        return torch.from_numpy(self.read(self.pairs[i]))

    def __iter__(self) -> Iterator[Tensor]:
        """All arrays in order, each read once."""
        return map(torch.from_numpy, map_in_threads(self.read, self.pairs))


@dataclass(frozen=True)
class Validation:
    """The validation split at the input size.

    Attributes:
        images: N,bands,H,W bytes, or as many images bands,H,W that are read when they are asked for.
        masks: N,H,W bytes, or as many masks H,W that are read when they are asked for.
        ignore: The value of void pixels in masks.
    """

    images: Tensor | Streamed
    masks: Tensor | Streamed
    ignore: int = IGNORE

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, resolution: tuple[int, int], size: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        """The split in batches.

        Args:
            resolution: The height h and width w that a network takes, in pixels.
            size: The number of images in a batch.

        Returns:
            Of each batch N,bands,h,w images in 0..1, and N,H,W masks at the input size as whole numbers.
        """
        for images, masks in zip(_batched(self.images, size), _batched(self.masks, size), strict=True):
            yield at_resolution(images, resolution), masks.long()

    def pixels(self, resolution: tuple[int, int]) -> Iterator[np.ndarray]:
        """The images as an int8 file reads them.

        Args:
            resolution: The height h and width w that a network takes, in pixels.

        Returns:
            Of each image h,w,bands bytes less 128.
        """
        for images in _batched(self.images, 1):
            at_size = at_resolution(images, resolution)[0]
            yield at_size.permute(1, 2, 0).mul(255).round().sub(128).to(torch.int8).contiguous().numpy()


def _batched(values: Tensor | Streamed, size: int) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield from torch.split(values, size)
        return
    left = iter(values)
    while batch := list(islice(left, size)):
        yield torch.stack(batch)


def read_validation(data: DataSet, input_size: tuple[int, int]) -> Validation:
    """Opens the validation split.

    Args:
        data: The data set.
        input_size: Height and width, in pixels.

    Returns:
        The split: read into memory, or read again in each pass when it does not fit. Both give the same values.

    Raises:
        DataError: Files cannot be read.
    """
    if validation_bytes(data, input_size) > VALIDATION_CACHE_BYTES:
        return Validation(
            Streamed(
                data.val,
                lambda pair: resized_image(decode_image(pair.image, data.pixels, pair.window), input_size),
            ),
            Streamed(
                data.val,
                lambda pair: resized_mask(decode_mask(pair.mask, data.labels, pair.window), input_size),
            ),
            data.ignore,
        )

    images = np.empty((len(data.val), len(data.pixels.bands), *input_size), np.uint8)
    masks = np.empty((len(data.val), *input_size), np.uint8)
    places: dict[Pair, list[int]] = {}
    for place, pair in enumerate(data.val):
        places.setdefault(pair, []).append(place)

    def fill(pair: Pair, image: np.ndarray, mask: np.ndarray) -> None:
        """Puts a pair in its place: a list of all and its stack would take twice the memory."""
        for place in places[pair]:
            images[place], masks[place] = resized_image(image, input_size), resized_mask(mask, input_size)

    map_pairs(data.val, data, fill, "validation images")
    return Validation(torch.from_numpy(images), torch.from_numpy(masks), data.ignore)


def resized_image(image: np.ndarray, input_size: tuple[int, int]) -> np.ndarray:
    """An image at the input size.

    Args:
        image: H,W,bands bytes.
        input_size: Height h and width w, in pixels.

    Returns:
        bands,h,w bytes.
    """
    height, width = input_size
    shrinks = image.shape[0] > height
    size = (width, height)
    resized = shrunk(image, size) if shrinks else cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(np.atleast_3d(resized).transpose(2, 0, 1))


def resized_mask(mask: np.ndarray, input_size: tuple[int, int]) -> np.ndarray:
    """A mask at the input size.

    Args:
        mask: H,W bytes.
        input_size: Height h and width w, in pixels.

    Returns:
        h,w bytes, each that of the nearest pixel.
    """
    height, width = input_size
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
