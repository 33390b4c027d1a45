"""A run folder: where a command's results lie, written so that a kill at any moment leaves whole files."""

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from compress.timing import processor_name
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network

RUNS = Path("runs")
PACKAGES = ("torch", "optuna", "torch-pruning", "litert-torch", "ai-edge-litert", "ai-edge-quantizer", "onnxruntime")


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces `path` as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(path)


def make_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """A folder as `fill` leaves it, whole or not at all; one that is there is left as it is."""
    if folder.is_dir():
        return
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        fill(part)
        part.replace(folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def held(lock: Path) -> Iterator[bool]:
    """Whether this process has the lock, inside; the system takes it back when the process ends."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    file_lock = FileLock(lock)
    try:
        file_lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        file_lock.release()


def write_json(path: Path, value: object) -> None:
    write_atomically(path, (json.dumps(value, indent=1) + "\n").encode())


def read_json(path: Path, remedy: str) -> Any:
    """Raises InputError that names the file and the remedy when it is missing or broken."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path} is missing; {remedy}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); {remedy}") from error


def save_tensors(value: Mapping[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    torch.save(dict(value), part)
    part.replace(path)


def load_tensors(path: Path) -> dict[str, Any]:
    """Raises InputError for a file that is missing, broken or holds anything but tensors and plain values."""
    try:
        value: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        return value
    except FileNotFoundError:
        raise InputError(f"{path} is missing; run the stage that makes it first") from None
    except Exception as error:  # torch.load raises many kinds for a damaged file
        raise InputError(
            f"{path} cannot be loaded ({type(error).__name__}); delete it and run its stage again"
        ) from error


def save_network(network: Network, path: Path) -> None:
    """Genotype and weights in one file; `load_network` builds the module anew."""
    save_tensors({"genotype": json.dumps(network.genotype.to_dict()), "weights": network.state_dict()}, path)


def load_network(path: Path) -> Network:
    """Raises InputError for anything `save_network` did not write."""
    stored = load_tensors(path)
    try:
        network = Network(Genotype.from_dict(json.loads(stored["genotype"])))
        network.load_state_dict(stored["weights"])
    except (KeyError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: not a network of this version ({error}); run its stage again") from error
    return network.eval()


def digest(*paths: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]


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
