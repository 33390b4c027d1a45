"""How much a pixel of each class counts in a loss (`--class-weights`)."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from search_spaces.errors import InputError


def root_weights(counts: np.ndarray) -> np.ndarray:
    """Weights of one over the square root of each class's share of pixels.

    Rare classes need a larger weight because they count in mIoU as much as common ones.

    Args:
        counts: The number of pixels of each class, at least 1.

    Returns:
        A weight for each class.
    """
    return np.asarray(1 / np.sqrt(counts))


def effective_weights(counts: np.ndarray) -> np.ndarray:
    """Weights of one over the effective number of samples (Cui et al. 2019).

    The weight is (1 - beta) / (1 - beta ** n) for a class of n pixels, with beta = 1 - 1 / N. N is the mean number of
    pixels of a class, so that neither the resolution nor the number of images matters. Classes of more than N pixels
    have about the same weight; the weight of a far rarer class is one over its number of pixels.

    Args:
        counts: The number of pixels of each class, at least 1.

    Returns:
        A weight for each class.
    """
    decay = np.log1p(-1 / max(2.0, counts.mean()))
    return np.asarray(np.expm1(decay) / np.expm1(decay * counts))


CLASS_WEIGHTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "root": root_weights,
    "effective": effective_weights,
    "equal": np.ones_like,
}


def class_weights(name: str, counts: np.ndarray) -> Tensor:
    """Weights of classes, scaled to a mean of 1 over the labelled pixels.

    Args:
        name: A key of CLASS_WEIGHTS.
        counts: The number of pixels of each class in the training masks.

    Returns:
        A finite weight for each class.

    Raises:
        InputError: No training pixel has a class.
    """
    if not counts.sum() > 0:
        raise InputError("--data: no pixel of the training masks has a class: all are void; mend the masks")
    weights = CLASS_WEIGHTS[name](np.maximum(counts, 1).astype(float))
    return torch.tensor(weights * counts.sum() / (weights * counts).sum(), dtype=torch.float32)
