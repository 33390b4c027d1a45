"""How much the channels of a group matter: torch-pruning's importances by the name that `--importance` takes.

Every layer of a group counts that loses a slice with the channel; the depthwise ones by their batch norm alone.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch_pruning.pruner.importance import (
    BNScaleImportance,
    GroupHessianImportance,
    GroupMagnitudeImportance,
    GroupTaylorImportance,
    Importance,
    LAMPImportance,
)

from compress.data.batches import training_batches
from compress.data.crops import Crops
from compress.data.resizing import at_scale
from compress.training.label_losses import LabelLoss
from search_spaces.network import Network

DEFAULT_IMPORTANCE = "taylor"
IMPORTANCES: dict[str, Callable[[], Importance]] = {
    "l1": partial(GroupMagnitudeImportance, p=1),
    "l2": partial(GroupMagnitudeImportance, p=2),
    "bn-scale": BNScaleImportance,  # Network Slimming, Liu et al. 2017
    "lamp": LAMPImportance,  # Lee et al. 2021
    "taylor": partial(GroupTaylorImportance, normalizer=None),  # Molchanov et al. 2019
    "hessian": partial(GroupHessianImportance, normalizer=None),  # Optimal Brain Damage, LeCun et al. 1989
}
MAGNITUDES = ("l1", "l2", "bn-scale")
SQUARED = {"taylor": False, "hessian": True}  # the importances that read gradients, and which
GRADIENT_IMAGES = 64
NONE = 1e-30  # the importance of dead channels is 0


def lost(importance: str, scores: Tensor, channels: Tensor) -> float:
    """What a group loses with some of its channels, given the scores of all: comparable between groups.

    Taylor and Hessian estimate the loss itself, and LAMP makes layers comparable by a rule of its own: their scores add
    up. Magnitudes compare within a group alone; theirs is -log of the share that is kept. The fewer channels are left,
    the more the next one costs, for all that follows is computed from these few.
    """
    gone = scores[channels].sum()
    if importance in MAGNITUDES:
        gone = -torch.log1p(-gone / scores.sum().clamp_min(NONE))
    return max(float(gone), NONE)


def gradients(network: Network, losses: Iterator[Tensor], squared: bool) -> None:
    """Leaves in every parameter's `grad` the mean over the losses of its gradient or of its square (the diagonal of
    the empirical Fisher matrix, which stands for the Hessian's)."""
    parameters = list(network.parameters())
    sums = [torch.zeros_like(parameter) for parameter in parameters]
    count = 0
    for loss in losses:
        for total, gradient in zip(sums, torch.autograd.grad(loss, parameters), strict=True):
            total += gradient.square() if squared else gradient
        count += 1
    for parameter, total in zip(parameters, sums, strict=True):
        parameter.grad = total / count


def crop_losses(network: Network, crops: Crops, input_size: tuple[int, int], label_loss: LabelLoss) -> Iterator[Tensor]:
    """The training loss of each crop alone."""
    device = next(network.parameters()).device
    for image, mask in training_batches(crops, 1, 0, workers=0):
        logits = network(at_scale(image.to(device), network.genotype.resolution, input_size))
        yield label_loss(logits, mask.to(device))
