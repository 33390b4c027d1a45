"""Batches of training crops, made by other processes while the device computes."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from compress.data.crops import Crops

WORKERS = 8  # processes that make training crops, where there are as many cores


def training_batches(
    crops: Crops, batch: int, start: int, workers: int | None = None, share: slice = slice(None)
) -> Iterator[tuple[Tensor, Tensor]]:
    """N,3,crop,crop images in 0..1 and N,crop,crop masks from step `start` on; workers decode while the device
    computes. Of each batch only a `share` of its items is made. No mean is subtracted, so int8 input is
    `byte - 128`."""
    workers = min(WORKERS, max(1, torch.get_num_threads() - 1)) if workers is None else workers
    batches = [list(range(at, at + batch)[share]) for at in range(start * batch, len(crops), batch)]
    prefetch = 4 if workers else None
    for images, masks in DataLoader(crops, batch_sampler=batches, num_workers=workers, prefetch_factor=prefetch):
        yield images.float().div_(255), masks.long()
