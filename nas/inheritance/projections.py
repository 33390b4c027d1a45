"""Convolutions with their batch norm as plain linear maps, and the way back."""

import torch
from torch import Tensor, nn

from search_spaces.network import ConvBNAct


def folded(layer: ConvBNAct) -> tuple[Tensor, Tensor]:
    """Folds the batch norm of a layer into its convolution.

    Args:
        layer: The layer.

    Returns:
        The weights (out, in, kernel, kernel) and the biases (out) in double precision.
    """
    weight = layer.conv.weight.detach().double()
    bn = layer.bn
    if not isinstance(bn, nn.BatchNorm2d):
        assert layer.conv.bias is not None
        return weight, layer.conv.bias.detach().double()
    assert bn.running_mean is not None and bn.running_var is not None
    scale = bn.weight.detach().double() / (bn.running_var.double() + bn.eps).sqrt()
    return weight * scale.view(-1, 1, 1, 1), bn.bias.detach().double() - bn.running_mean.double() * scale


@torch.no_grad()
def set_folded(layer: ConvBNAct, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> None:
    """Gives the leading output channels of a layer a linear map, in place.

    In eval mode the map is exact. In training mode batch norm sees batches and keeps the output's mean and deviation.

    Args:
        layer: The layer: a convolution, batch norm, no ReLU6.
        weight: The weights (rows, in, kernel, kernel) of the map.
        bias: Its biases (rows).
        mean: The mean of its output (rows) on typical images.
        variance: The variance of its output (rows).
    """
    assert isinstance(layer.bn, nn.BatchNorm2d)
    assert layer.bn.running_mean is not None and layer.bn.running_var is not None
    rows, eps = len(weight), layer.bn.eps
    norm = weight.flatten(1).norm(dim=1)
    # weights of one norm for all rows, so that the optimizer's steps mean the same for each; batch norm undoes it
    scale = norm.mean().clamp_min(1e-12) / norm.clamp_min(1e-6 * float(norm.max()) + 1e-12)
    spread = variance * scale**2
    layer.conv.weight[:rows] = (weight * scale.view(-1, 1, 1, 1)).float()
    layer.bn.running_mean[:rows] = ((mean - bias) * scale).float()
    layer.bn.running_var[:rows] = spread.float()
    # from the statistics as they were rounded
    layer.bn.weight[:rows] = ((layer.bn.running_var[:rows].double() + eps).sqrt() / scale).float()
    layer.bn.bias[:rows] = mean.float()
