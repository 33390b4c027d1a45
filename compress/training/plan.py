"""How long a training is, and how fast the network learns. Imports nothing that a command line must wait for."""

from dataclasses import dataclass, replace


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

    def with_crop(self, crop: int) -> "TrainingPlan":
        """Gives the plan other crops. A step has as many pixels as before, and at least two crops.

        Args:
            crop: The side of a crop in pixels.

        Returns:
            The plan.
        """
        return replace(self, crop=crop, batch=max(2, round(self.batch * (self.crop / crop) ** 2)))
