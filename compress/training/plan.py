"""How long a training is, and how fast the network learns. Imports nothing that a command line must wait for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingPlan:
    """The length of a training with AdamW (Loshchilov and Hutter 2019).

    Attributes:
        steps: Optimizer steps.
        batch: Crops in a batch.
        crop: Side of a crop in pixels.
        lr: The highest learning rate.
        weight_decay: AdamW's weight decay.
    """

    steps: int
    batch: int
    crop: int
    lr: float = 4e-3
    weight_decay: float = 1e-3
