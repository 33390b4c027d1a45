"""The secret of a private training, and what it has spent; both are parts of its checkpoint.

The noise and the choice of images must stay secret. They come from a number that is drawn anew for each training, not
from the run's seed. The number stands in the checkpoint, so a killed training goes on with the same noise: a step done
again gives the very same result and spends nothing more. The checkpoint is deleted at the end.
"""

import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from opacus.accountants import create_accountant

from compress.files.tensors import load_tensors
from compress.training.privacy_accounting import ACCOUNTANT, Spent
from search_spaces.errors import InputError

SECRET_BITS = 256
LEDGER = "ledger"  # the part of a checkpoint


@dataclass
class Ledger:
    """The secret of a private training and what it has spent; a part of its checkpoint.

    Attributes:
        accountant: Opacus's accountant, which counts the steps.
        secret: The number from which the noise and the choice of images come.
    """

    accountant: Any
    secret: str = field(default_factory=lambda: f"{secrets.randbits(SECRET_BITS):x}")

    @staticmethod
    def after(spent: Spent) -> "Ledger":
        """Opens the ledger of a new training.

        Args:
            spent: What earlier trainings on the same images have spent.

        Returns:
            The ledger with a secret of its own.
        """
        accountant = create_accountant(mechanism=ACCOUNTANT)
        accountant.history = [(float(noise), float(rate), int(steps)) for noise, rate, steps in spent]
        return Ledger(accountant)

    @property
    def spent(self) -> list[tuple[float, float, int]]:
        """What all trainings have spent, this one included."""
        return list(self.accountant.history)

    def generator(self, step: int, purpose: str, device: torch.device) -> torch.Generator:
        """The random numbers of a step.

        Args:
            step: The step, from 0.
            purpose: What they are for.
            device: Where they are drawn.

        Returns:
            A generator that is the same each time.
        """
        digest = sha256(f"{self.secret} {step} {purpose}".encode()).digest()
        return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big"))

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds.

        Returns:
            Plain values.
        """
        return {"secret": self.secret, "accountant": dict(self.accountant.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint.

        Args:
            state: What `state_dict` gave.
        """
        self.accountant.load_state_dict(state["accountant"])
        self.secret = state["secret"]


def require_same_training(checkpoint: Path, origin: str) -> None:
    """Refuses to drop the checkpoint of another private training: what that one has spent would be forgotten.

    Args:
        checkpoint: The file, which need not be there.
        origin: Names what this training starts from.

    Raises:
        InputError: The file is of another private training, or is damaged.
    """
    stored = load_tensors(checkpoint) if checkpoint.exists() else {}
    if LEDGER in stored and stored.get("origin") != origin:
        raise InputError(
            f"{checkpoint} is of a killed private training with other settings or images, after {stored['step']} "
            "steps; go on with those, or delete it if nobody has seen its weights"
        )
