"""Depthwise convolution on a CPU with fast gradients.

The values are those of `torch.nn.functional.conv2d`. Only the gradients are computed in another way, because oneDNN's
fast kernels cover few cases: the weight gradient takes kernels of at most three columns without dilation, and the input
gradient is slower than a forward convolution.

- The input gradient at stride 1 is a forward convolution of the output's gradient with flipped weights.
- The weight gradient of a wider kernel is computed for groups of three columns.
- An atrous convolution at rate d is a plain one on d * d sub-images, which become images of the batch.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

COLUMNS = 3  # of a kernel, for which oneDNN has a fast weight gradient
CHANNELS_LAST = torch.channels_last
Geometry = tuple[int, int, int]  # stride, padding, dilation


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, dilation: int) -> Tensor:
    """Convolves each channel with a kernel of its own.

    Args:
        x: N,C,H,W values.
        weight: C,1,kernel,kernel weights.
        bias: C values, or None.
        stride: The stride.
        padding: Pixels of zeros on each side.
        dilation: The atrous rate.

    Returns:
        N,C,h,w values, those of `F.conv2d` with C groups.
    """
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    convolved: Tensor = Depthwise.apply(  # type: ignore[no-untyped-call]
        x, weight, bias, (stride, padding, dilation)
    )
    return convolved


class Depthwise(torch.autograd.Function):
    """The convolution of `depthwise`. Its gradient cannot be differentiated again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        """Convolves.

        Args:
            ctx: Keeps what `backward` needs.
            x: N,C,H,W values.
            weight: C,1,kernel,kernel weights.
            bias: C values, or None.
            geometry: Stride, padding and dilation.

        Returns:
            N,C,h,w values.
        """
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return convolve(x, weight, bias, geometry)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, out: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        """The gradients.

        Args:
            ctx: What `forward` kept.
            out: N,C,h,w gradient of the output.

        Returns:
            The gradients of `x`, `weight` and `bias`, None where one is not needed.
        """
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias, _ = ctx.needs_input_grad
        out = out.contiguous(memory_format=CHANNELS_LAST)
        return (
            input_gradient(out, x, weight, ctx.geometry) if of_x else None,
            weight_gradient(out, x, weight, ctx.geometry) if of_weight else None,
            out.sum((0, 2, 3)) if of_bias else None,
            None,
        )


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Convolves. An atrous kernel larger than the image runs on the sub-images, because torch is slow there.

    Args:
        x: N,C,H,W values.
        weight: C,1,kernel,kernel weights.
        bias: C values, or None.
        geometry: Stride, padding and dilation.

    Returns:
        N,C,h,w values.
    """
    _, padding, dilation = geometry
    channels, kernel = x.shape[1], weight.shape[-1]
    if (kernel - 1) * dilation >= min(x.shape[2:]) and _is_atrous(kernel, geometry):
        parts = F.conv2d(_sub_images(x, dilation), weight, bias, 1, padding // dilation, 1, channels)
        return _whole_images(parts, dilation, x.shape)
    return F.conv2d(x, weight, bias, *geometry, groups=channels)


def input_gradient(out: Tensor, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """The gradient of the input.

    Args:
        out: N,C,h,w gradient of the output.
        x: N,C,H,W input.
        weight: C,1,kernel,kernel weights.
        geometry: Stride, padding and dilation.

    Returns:
        N,C,H,W.
    """
    stride, padding, dilation = geometry
    reach = (weight.shape[-1] - 1) * dilation
    if stride == 1 and padding <= reach:
        return convolve(out, weight.flip(2, 3), None, (1, reach - padding, dilation))
    wide = torch.promote_types(x.dtype, torch.float32)  # bfloat16 takes a slow path here
    return _torch_gradient(out.to(wide), x.to(wide), weight.to(wide), geometry, 0).to(x.dtype)


def weight_gradient(out: Tensor, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """The gradient of the weights.

    Args:
        out: N,C,h,w gradient of the output.
        x: N,C,H,W input.
        weight: C,1,kernel,kernel weights.
        geometry: Stride, padding and dilation.

    Returns:
        C,1,kernel,kernel.
    """
    stride, padding, dilation = geometry
    kernel = weight.shape[-1]
    if dilation == 1:
        return _by_columns(out, x, weight, stride, padding)
    if not _is_atrous(kernel, geometry):
        return _torch_gradient(out, x, weight, geometry, 1)
    if min(x.shape[2:]) < max(4, kernel) * dilation:  # the sub-images would be mostly padding
        return _by_shifts(out, x, weight, padding, dilation)
    return _by_columns(_sub_images(out, dilation), _sub_images(x, dilation), weight, 1, padding // dilation)


def _is_atrous(kernel: int, geometry: Geometry) -> bool:
    """Whether it is an atrous convolution of SAME padding, which `_sub_images` and `_by_shifts` take."""
    stride, padding, dilation = geometry
    return dilation > 1 and stride == 1 and kernel % 2 == 1 and padding == kernel // 2 * dilation


def _by_columns(out: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """The gradient of the weights without dilation, for COLUMNS columns at a time."""
    kernel, (width, out_width) = weight.shape[-1], (x.shape[3], out.shape[3])
    if kernel <= COLUMNS:
        return _torch_gradient(out, x, weight, (stride, padding, 1), 1)
    parts = []
    for start in range(0, kernel, COLUMNS):
        columns = min(COLUMNS, kernel - start)
        left = padding - start
        right = (out_width - 1) * stride + columns - width - left
        seen = F.pad(x, (left, right, padding, padding)).contiguous(memory_format=CHANNELS_LAST)
        part = weight[..., start : start + columns].contiguous(memory_format=CHANNELS_LAST)
        parts.append(_torch_gradient(out, seen, part, (stride, 0, 1), 1))
    return torch.cat(parts, 3)


def _by_shifts(out: Tensor, x: Tensor, weight: Tensor, padding: int, dilation: int) -> Tensor:
    """The gradient of the weights at stride 1, each as a sum of products of shifted values."""
    (height, width), kernel = x.shape[2:], weight.shape[-1]
    out, x = out.permute(0, 2, 3, 1), x.permute(0, 2, 3, 1)
    wide = torch.promote_types(x.dtype, torch.float32)
    gradient = torch.zeros(weight.shape, dtype=wide, device=x.device)
    for row in range(kernel):
        for column in range(kernel):
            down, right = row * dilation - padding, column * dilation - padding
            if abs(down) < height and abs(right) < width:
                seen = x[:, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)]
                asked = out[:, max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)]
                gradient[:, 0, row, column] = (seen * asked).sum((0, 1, 2), dtype=wide)
    return gradient.to(weight.dtype)


def _sub_images(x: Tensor, dilation: int) -> Tensor:
    """N,C,H,W values as N*d*d,C,H/d,W/d: every d-th row and column is an image of its own. Zeros fill the last ones."""
    x = F.pad(x, (0, -x.shape[3] % dilation, 0, -x.shape[2] % dilation))
    count, channels, height, width = x.shape
    cells = (count, height // dilation, dilation, width // dilation, dilation, channels)
    x = x.permute(0, 2, 3, 1).reshape(cells).permute(0, 2, 4, 1, 3, 5)
    return x.reshape(-1, height // dilation, width // dilation, channels).permute(0, 3, 1, 2)


def _whole_images(parts: Tensor, dilation: int, shape: torch.Size) -> Tensor:
    """The inverse of `_sub_images`."""
    _, channels, rows, columns = parts.shape
    cells = (shape[0], dilation, dilation, rows, columns, channels)
    x = parts.permute(0, 2, 3, 1).reshape(cells).permute(0, 3, 1, 4, 2, 5)
    x = x.reshape(shape[0], rows * dilation, columns * dilation, channels)[:, : shape[2], : shape[3]]
    return x.permute(0, 3, 1, 2).contiguous(memory_format=CHANNELS_LAST)


def _torch_gradient(out: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, which: int) -> Tensor:
    """One of torch's own gradients: 0 that of the input, 1 that of the weights."""
    stride, padding, dilation = ([value, value] for value in geometry)
    asked = [which == 0, which == 1, False]
    gradients = torch.ops.aten.convolution_backward(
        out, x, weight, None, stride, padding, dilation, False, [0, 0], x.shape[1], asked
    )
    gradient: Tensor = gradients[which]
    return gradient
