"""Tensors and networks in files that hold nothing else: no pickled objects."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network


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
