"""How much the channels of a group matter: torch-pruning's importances, by the names that `--importance` takes.

A group is the set of layers that lose a slice when a channel is removed. All of them count. Depthwise convolutions
count by their batch norm alone.
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

IMPORTANCES: dict[str, Callable[[], Importance]] = {
    "l1": partial(GroupMagnitudeImportance, p=1),
    "l2": partial(GroupMagnitudeImportance, p=2),
    "bn-scale": BNScaleImportance,  # Network Slimming, Liu et al. 2017
    "lamp": LAMPImportance,  # Lee et al. 2021
    "taylor": partial(GroupTaylorImportance, normalizer=None),  # Molchanov et al. 2019
    "hessian": partial(GroupHessianImportance, normalizer=None),  # Optimal Brain Damage, LeCun et al. 1989
}
MAGNITUDES = ("l1", "l2", "bn-scale")
SQUARED = {"taylor": False, "hessian": True}  # the importances that read gradients: whether squared
GRADIENT_IMAGES = 64
MIN_LOSS = 1e-30  # the importance of dead channels is 0


def lost_importance(importance: str, scores: Tensor, channels: Tensor) -> float:
    """What a group loses with some of its channels. The values of different groups can be compared.

    Taylor and Hessian estimate the change of the training loss, and LAMP makes layers comparable by its own rule. Their
    scores add up. Magnitudes can be compared only within a group. For them the loss is -log of the share that is kept:
    the fewer channels are left, the more the next one costs.

    Args:
        importance: A key of IMPORTANCES.
        scores: The score of each channel of the group.
        channels: The places of the channels that are removed.

    Returns:
        A positive number.
    """
    gone = scores[channels].sum()
    if importance in MAGNITUDES:
        gone = -torch.log1p(-gone / scores.sum().clamp_min(MIN_LOSS))
    return max(float(gone), MIN_LOSS)


def set_mean_gradients(network: Network, losses: Iterator[Tensor], squared: bool) -> None:
    """Sets the `grad` of every parameter to the mean of its gradients, or of their squares.

    The mean of squares is the diagonal of the empirical Fisher matrix, which is taken for that of the Hessian.

    Args:
        network: The network.
        losses: Losses of the network.
        squared: Whether to take squares.
    """
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
    """The training loss of a network on each of some crops.

    Args:
        network: The network.
        crops: The crops.
        input_size: The run's input size (H, W) in pixels.
        label_loss: The loss on the labels.

    Yields:
        The loss of one crop.
    """
    device = next(network.parameters()).device
    for image, mask in training_batches(crops, 1, 0, workers=0):
        logits = network(at_scale(image.to(device), network.genotype.resolution, input_size))
        yield label_loss(logits, mask.to(device))
