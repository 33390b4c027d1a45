"""Batches of training crops, made by other processes while the device computes."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from compress.data.crops import Crops
from compress.data.shared_memory import SHM_REMEDY, bound_prefetch
from search_spaces.errors import InputError

WORKERS = 8  # processes that make training crops, where there are as many cores
PREFETCH = 4  # batches that each of them makes ahead

Crop = tuple[Tensor, Tensor]


class CropsOrErrors(Dataset[Crop | InputError]):
    """Crops, or the error that stood in the way of one.

    A DataLoader builds an error of a worker process anew from its traceback, and what it should say is lost. So a
    worker hands the error over as an item, and `training_batches` raises it.
    """

    def __init__(self, crops: Crops) -> None:
        self.crops = crops

    def __getitem__(self, i: int) -> Crop | InputError:
        """A crop as `Crops` makes it.

        Args:
            i: Its index.

        Returns:
            The crop or the error.
        """
        try:
            return self.crops[i]
        except InputError as error:
            return error


def collate_or_error(items: list[Crop | InputError]) -> list[Tensor] | InputError:
    """Puts the items of a batch together.

    Args:
        items: Crops or errors.

    Returns:
        N,bands,crop,crop images and N,crop,crop masks, both bytes; or the first error. A batch of no items has no
        pixels.
    """
    for item in items:
        if isinstance(item, InputError):
            return item
    if not items:
        return [torch.zeros(0, 3, 0, 0, dtype=torch.uint8), torch.zeros(0, 0, 0, dtype=torch.uint8)]
    batch: list[Tensor] = default_collate(items)
    return batch


def training_batches(
    crops: Crops,
    batch: int,
    start: int,
    workers: int | None = None,
    share: slice = slice(None),
    device: torch.device | None = None,
    drawn: Sequence[list[int]] | None = None,
) -> Iterator[Crop]:
    """Makes the batches of a training in other processes. No mean is subtracted, so int8 input is `byte - 128`.

    Args:
        crops: The crops, in the order of training.
        batch: The number of crops in a batch.
        start: The step to begin with.
        workers: The number of processes; 0 makes the crops in this process. Without it one process for each thread of
            torch but one, WORKERS at most, and no more than the shared memory has room for.
        share: The part of each batch that is made.
        device: Where the batches are wanted; None for the CPU. Crops move there as bytes, a quarter of their floats.
        drawn: The indices of the crops of each batch; None for `batch` consecutive ones.

    Returns:
        Of each step N,bands,crop,crop images in 0..1 and N,crop,crop masks as whole numbers.

    Raises:
        InputError: A file cannot be read, or a process has ended because memory ran out.
        DataError: Both files of a pair cannot be read.
    """
    consecutive = (list(range(at, at + batch)[share]) for at in range(start * batch, len(crops), batch))
    batches = list(consecutive if drawn is None else drawn)
    if workers is None:
        workers = min(WORKERS, max(1, torch.get_num_threads() - 1))
    pixel_bytes = len(crops.data.pixels.bands) + 1  # and that of the mask
    batch_bytes = max(map(len, batches), default=0) * crops.crop * crops.crop * pixel_bytes
    workers, prefetch = bound_prefetch(workers, PREFETCH, batch_bytes)
    loader = DataLoader(
        CropsOrErrors(crops),
        batch_sampler=batches,
        num_workers=workers,
        prefetch_factor=prefetch or None,
        collate_fn=collate_or_error,
    )
    try:
        for found in loader:
            if isinstance(found, InputError):
                raise found
            images, masks = (part.to(device) for part in found) if device else found
            yield images.float().div_(255), masks.long()
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise InputError(f"a process that makes training crops has ended ({error}); {SHM_REMEDY}") from error
