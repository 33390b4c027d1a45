"""What a result was made with."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from compress.latency.device_facts import processor_name

PACKAGES = ("torch", "optuna", "torch-pruning", "litert-torch", "ai-edge-litert", "ai-edge-quantizer", "onnxruntime")


def environment(device: torch.device) -> dict[str, Any]:
    """What a result was made with: versions of Python and packages, processor, device, threads."""
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
