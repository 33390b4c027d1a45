"""The file from which a killed training goes on."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from compress.files.tensors import load_tensors, save_tensors
from compress.training.finite import require_finite
from compress.training.schedule import Schedule
from search_spaces.errors import InputError

CHECKPOINT_SECONDS = 20.0  # between two checkpoints


@dataclass
class Checkpoint:
    """Saves the state of a training every CHECKPOINT_SECONDS and after its last step.

    Attributes:
        path: The file.
        title: What the training is called in messages.
        origin: Names what the training started from (`origin_of`); a file of another origin is not continued from.
        parts: What is saved and loaded: the model, the optimizer, the learning-rate scheduler, the average.
    """

    path: Path
    title: str
    origin: str
    parts: Mapping[str, Any]
    _saved: float = field(default_factory=time.monotonic)

    def load(self) -> tuple[int, float]:
        """Sets the parts to their state in the file, if there is a file of this origin.

        Returns:
            The step to go on from and the seconds that were spent before; 0 and 0.0 without such a file.

        Raises:
            InputError: The file is damaged.
        """
        if not self.path.exists():
            return 0, 0.0
        states = load_tensors(self.path)
        try:
            if states.get("origin") != self.origin:
                return 0, 0.0
            for name, part in self.parts.items():
                part.load_state_dict(states[name])
            return int(states["step"]), float(states["seconds"])
        except Exception as error:  # a damaged state raises many kinds
            raise InputError(
                f"{self.path} is damaged ({type(error).__name__}); delete it: the training begins again without it"
            ) from error

    def save(self, step: int, seconds: float, last: bool) -> None:
        """Saves the parts, unless they were saved a short time ago.

        Args:
            step: How many steps are done.
            seconds: How long they took.
            last: Whether this was the last step, which is always saved.

        Raises:
            InputError: A weight is not finite.
        """
        if not last and time.monotonic() - self._saved <= CHECKPOINT_SECONDS:
            return
        states = {name: part.state_dict() for name, part in self.parts.items()}
        require_finite(states["model"], self.title, step)
        self._saved = time.monotonic()
        save_tensors({**states, "step": step, "seconds": seconds, "origin": self.origin}, self.path)

    def remove(self) -> None:
        """Deletes the file, if it is there."""
        self.path.unlink(missing_ok=True)


def origin_of(model: nn.Module, schedule: Schedule, training_key: str) -> str:
    """Names what a training starts from.

    Args:
        model: The model with its first weights.
        schedule: The training's schedule.
        training_key: Text that differs when the losses or the data differ.

    Returns:
        Sixteen hexadecimal digits.
    """
    hashed = hashlib.sha256(f"{schedule!r} {training_key}".encode())
    for name, value in model.state_dict().items():
        hashed.update(name.encode())
        hashed.update(value.cpu().contiguous().numpy().tobytes())
    return hashed.hexdigest()[:16]
