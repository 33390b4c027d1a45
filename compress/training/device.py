"""The device that networks are trained on, and this process's share of the cores."""

import os

import torch


def training_device() -> torch.device:
    """Finds the device to train on.

    Returns:
        CUDA or MPS where there is one, else the CPU.
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def share_cores(workers: int = 1) -> int:
    """Sets torch's threads to this process's share of the cores it may use.

    Containers often show torch fewer or more cores than the process may use.

    Args:
        workers: How many processes share the cores.

    Returns:
        The number of threads.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(max(1, allowed // workers))
    return torch.get_num_threads()
