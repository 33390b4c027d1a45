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

from compress.batches import Crops, at_scale, training_batches
from compress.label_losses import LabelLoss
from search_spaces.network import Network

DEFAULT = "l2"
# Norms of different layers do not compare, so magnitudes are relative to their group's mean. Taylor and Hessian
# estimate the loss itself, LAMP makes layers comparable by its own rule: these stay as they are.
IMPORTANCES: dict[str, Callable[[], Importance]] = {
    "l1": partial(GroupMagnitudeImportance, p=1),
    "l2": partial(GroupMagnitudeImportance, p=2),
    "bn-scale": BNScaleImportance,  # Network Slimming, Liu et al. 2017
    "lamp": LAMPImportance,  # Lee et al. 2021
    "taylor": partial(GroupTaylorImportance, normalizer=None),  # Molchanov et al. 2019
    "hessian": partial(GroupHessianImportance, normalizer=None),  # Optimal Brain Damage, LeCun et al. 1989
}
SQUARED = {"taylor": False, "hessian": True}  # the importances that read gradients, and which
GRADIENT_IMAGES = 64


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
