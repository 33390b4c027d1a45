"""A training that diverges ends in one line, before its weights reach a file."""

from collections.abc import Mapping

import torch
from torch import Tensor

from search_spaces.errors import InputError

REMEDY = "give --loss smaller weights, or the preset a lower lr (compress/stages/presets.py)"


class DivergedError(InputError):
    """A loss or a weight is not finite."""


def require_finite(values: Mapping[str, Tensor], title: str, step: int) -> None:
    """Checks named tensors of a training.

    Args:
        values: The tensors, such as the state of a model.
        title: What the training is called in the message.
        step: How many steps are done.

    Raises:
        DivergedError: A tensor holds NaN or infinity.
    """
    for name, value in values.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise DivergedError(f"{title}: the training diverged: {name} is not finite after step {step}; {REMEDY}")


def require_finite_loss(loss: float, title: str, step: int) -> None:
    """Checks a loss.

    Args:
        loss: Its value.
        title: What the training is called in the message.
        step: The step, counted from 1.

    Raises:
        DivergedError: The loss is NaN or infinite.
    """
    require_finite({"the loss": torch.tensor(loss)}, title, step)
