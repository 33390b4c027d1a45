"""Kernels of one size from kernels of another."""

from torch import Tensor
from torch.nn import functional as F


def fit_kernel(weight: Tensor, kernel: int) -> Tensor:
    """Makes a kernel of another size.

    A smaller kernel is the centre of the larger one, as in OFA (Cai et al. 2020). A larger kernel has zeros around the
    smaller one.

    Args:
        weight: Weights (out, in, k, k) of the kernel.
        kernel: The side in pixels of the kernel that is wanted.

    Returns:
        Weights (out, in, kernel, kernel).
    """
    margin = abs(weight.shape[-1] - kernel) // 2
    if weight.shape[-1] > kernel:
        return weight[..., margin : margin + kernel, margin : margin + kernel]
    return F.pad(weight, (margin,) * 4)
