"""Named tensors in files of other programs: safetensors, and torch files that hold no objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from search_spaces.errors import InputError

NESTED_KEYS = ("weights", "state_dict", "model")  # where files keep their tensors, if not outermost


@dataclass(frozen=True)
class WeightsFile:
    """What a file holds.

    Attributes:
        tensors: Its tensors by name, on the CPU. All are finite.
        stored: All that stands beside them, or around them, by name.
    """

    tensors: Mapping[str, Tensor]
    stored: Mapping[str, Any]


def read_weights_file(file: str) -> WeightsFile:
    """Reads the file of `--weights`. Nothing in it is run as code.

    Args:
        file: A .safetensors or torch file of named tensors.

    Returns:
        What it holds.

    Raises:
        InputError: The file is missing or broken, holds anything but tensors and plain values, or has a value that is
            not finite.
    """
    path = Path(file)
    if not path.is_file():
        raise InputError(f"--weights {file}: there is no such file; give a network.pt, .safetensors or torch file")
    try:
        stored: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, weights_only=True, map_location="cpu")
        )
    except SafetensorError as error:
        raise InputError(f"--weights {file}: no whole safetensors file ({error}); save it again") from error
    except Exception as error:  # torch.load raises many kinds for a damaged file or a pickle of objects
        raise InputError(
            f"--weights {file}: not a file of tensors alone ({type(error).__name__}); save a state_dict() with "
            "torch.save or as .safetensors"
        ) from error
    stored = stored if isinstance(stored, Mapping) else {}
    inner = next((stored[key] for key in NESTED_KEYS if isinstance(stored.get(key), Mapping)), stored)
    tensors = {str(name): x for name, x in inner.items() if isinstance(x, Tensor)}
    bad = first_not_finite(tensors)
    if bad:
        raise InputError(
            f"--weights {file}: tensor {bad} has values that are not finite (NaN or infinite): its training diverged; "
            "give another file"
        )
    return WeightsFile(tensors, stored)


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Looks for NaN and infinite values.

    Args:
        tensors: Tensors by name.

    Returns:
        The name of the first tensor that has one; None when all values are finite.
    """
    return next((n for n, x in tensors.items() if x.is_floating_point() and not torch.isfinite(x).all()), None)
