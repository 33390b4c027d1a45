"""What a result was made with."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from compress.latency.device_facts import processor_name

PACKAGES = ("torch", "optuna", "torch-pruning", "litert-torch", "ai-edge-litert", "ai-edge-quantizer", "onnxruntime")


def environment(device: torch.device) -> dict[str, Any]:
    """What a result is made with on this machine.

    Args:
        device: The device that networks are trained on.

    Returns:
        The versions of Python and of the packages, the machine, the processor, the device and the number of torch's
        threads, as plain JSON values.
    """
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    cuda = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "python": platform.python_version(),
        "versions": versions,
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "device": cuda or device.type,
        "torch_threads": torch.get_num_threads(),
    }
