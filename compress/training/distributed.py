"""Data-parallel training under torchrun: the ranks share each batch and average their gradients by all-reduce.

A supernet steps through several subnets before the optimizer does, each with parameters of its own, which
DistributedDataParallel's hooks do not allow for; so gradients are averaged once, after the last of them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from search_spaces.errors import InputError


def rank() -> int:
    return int(os.environ.get("RANK", 0))


def world() -> int:
    return int(os.environ.get("WORLD_SIZE", 1))


@contextmanager
def process_group() -> Iterator[None]:
    """NCCL between GPUs, gloo between CPUs; nothing outside torchrun."""
    if world() == 1:
        yield
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    torch.distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def _grouped() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def share(batch: int) -> slice:
    """This rank's items of a batch. Raises InputError for a batch that the ranks cannot share evenly, two items or
    more for each (batch norm needs them)."""
    if not _grouped():
        return slice(None)
    size = batch // world()
    if batch % world() or size < 2:
        raise InputError(
            f"torchrun --nproc-per-node: {world()} processes cannot share batches of {batch}: each needs two or more, "
            "and all as many"
        )
    return slice(rank() * size, (rank() + 1) * size)


def average_gradients(model: nn.Module) -> None:
    """In place, over all ranks; nothing outside a process group."""
    if not _grouped():
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]  # the same on all: they draw alike
    flat = torch.cat([g.flatten() for g in gradients])
    torch.distributed.all_reduce(flat)
    flat /= world()
    parts = torch.split(flat, [g.numel() for g in gradients])
    for gradient, averaged in zip(gradients, parts, strict=True):
        gradient.copy_(averaged.view_as(gradient))


def broadcast(flag: bool) -> bool:
    """Rank 0's flag, on all ranks."""
    if not _grouped():
        return flag
    said = [flag]
    torch.distributed.broadcast_object_list(said)
    return said[0]
