"""Data-parallel training under torchrun: the ranks share each batch and average their gradients by all-reduce.

DistributedDataParallel is not used. A supernet propagates the losses of several subnets before one optimizer step, and
each subnet has other parameters, which the hooks of DistributedDataParallel do not allow. So gradients are averaged
once, after the last loss.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from search_spaces.errors import InputError


def rank() -> int:
    """This process's number.

    Returns:
        Its number among the processes of torchrun; 0 outside torchrun.
    """
    return int(os.environ.get("RANK", 0))


def world_size() -> int:
    """The number of processes.

    Returns:
        The number of processes of torchrun; 1 outside torchrun.
    """
    return int(os.environ.get("WORLD_SIZE", 1))


@contextmanager
def process_group() -> Iterator[None]:
    """Connects the processes inside the context: with NCCL between GPUs, with gloo between CPUs.

    Outside torchrun it does nothing.

    Yields:
        Nothing.
    """
    if world_size() == 1:
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
    """This rank's items of a batch.

    Args:
        batch: The number of items of all ranks together.

    Returns:
        The slice of the items; all of them outside a process group.

    Raises:
        InputError: The ranks cannot share the batch evenly, or a rank would have fewer than the two items that batch
            norm needs.
    """
    if not _grouped():
        return slice(None)
    size = batch // world_size()
    if batch % world_size() or size < 2:
        raise InputError(
            f"torchrun --nproc-per-node: {world_size()} processes cannot share batches of {batch}: each needs two or "
            "more, "
            "and all as many"
        )
    return slice(rank() * size, (rank() + 1) * size)


def average_gradients(model: nn.Module) -> None:
    """Replaces each gradient with its mean over all ranks. Outside a process group it does nothing.

    Args:
        model: The model, whose gradients are set.
    """
    if not _grouped():
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]  # the same on all: they draw alike
    flat = torch.cat([g.flatten() for g in gradients])
    torch.distributed.all_reduce(flat)
    flat /= world_size()
    parts = torch.split(flat, [g.numel() for g in gradients])
    for gradient, averaged in zip(gradients, parts, strict=True):
        gradient.copy_(averaged.view_as(gradient))


def broadcast(flag: bool) -> bool:
    """Sends rank 0's flag to all ranks.

    Args:
        flag: This rank's flag.

    Returns:
        Rank 0's flag; outside a process group the flag itself.
    """
    if not _grouped():
        return flag
    flags = [flag]
    torch.distributed.broadcast_object_list(flags)
    return flags[0]
