"""The gradient of each image by itself, for networks of our spaces. Opacus's hooks compute it layer by layer.

Batch norm mixes the images of a batch, so that no image has a gradient of its own. It is frozen: it normalizes with the
running statistics that it has at the start, and only its scale and its shift are trained.

Opacus computes the weight gradient of a convolution with groups as if it had none, and throws most of it away. That
takes as many times longer as there are channels, so depthwise convolutions have a function of their own here.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from opacus.grad_sample.conv import compute_conv_grad_sample
from opacus.grad_sample.grad_sample_module import GradSampleHooks
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.depthwise import weight_gradient
from search_spaces.network import ConvBNAct

Gradients = dict[Tensor, Tensor]


class FrozenBatchNorm(nn.BatchNorm2d):
    """Batch norm that normalizes with its running statistics in training too, and leaves them as they are."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalizes.

        Args:
            x: N,C,H,W values.

        Returns:
            N,C,H,W values.
        """
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)

    @staticmethod
    def of(norm: nn.BatchNorm2d) -> "FrozenBatchNorm":
        """Freezes a batch norm.

        Args:
            norm: The batch norm, which is left as it is.

        Returns:
            A frozen one with the same tensors.
        """
        frozen = FrozenBatchNorm(norm.num_features, norm.eps)
        for name, value in (*norm.named_parameters(), *norm.named_buffers()):
            setattr(frozen, name, value)
        return frozen


def conv_gradients(layer: nn.Conv2d, activations: list[Tensor], out: Tensor) -> Gradients:
    """The gradients of a convolution's parameters for each image.

    Args:
        layer: The convolution.
        activations: Its N,C,H,W input, alone.
        out: N,width,h,w gradient of its output.

    Returns:
        N gradients of each parameter.
    """
    (x,) = activations
    weight, bias = layer.weight, layer.bias
    if len(x) == 0 or (layer.kernel_size != (1, 1) and layer.groups == 1):
        # Opacus reads the memory of its values as if they were contiguous
        found: Gradients = compute_conv_grad_sample(layer, [x.contiguous()], out.contiguous())
        return found
    if layer.groups > 1:
        of_weight = depthwise_gradients(layer, x, out)
    else:  # 1x1, at stride 1 in all spaces
        of_weight = torch.bmm(out.flatten(2), x.flatten(2).transpose(1, 2)).view(len(x), *weight.shape)
    gradients = {weight: of_weight} if weight.requires_grad else {}
    if bias is not None and bias.requires_grad:
        gradients[bias] = out.sum((2, 3))
    return gradients


def depthwise_gradients(layer: nn.Conv2d, x: Tensor, out: Tensor) -> Tensor:
    """The gradients of depthwise weights for each image: the images become channels.

    Args:
        layer: The convolution, with as many groups as channels.
        x: N,C,H,W input.
        out: N,C,h,w gradient of the output.

    Returns:
        N,C,1,kernel,kernel.
    """
    images, weight = len(x), layer.weight.detach()
    geometry = (layer.stride[0], int(layer.padding[0]), layer.dilation[0])
    of_out, of_x = (value.reshape(1, -1, *value.shape[2:]) for value in (out, x))
    found = weight_gradient(of_out, of_x, weight.repeat(images, 1, 1, 1), geometry)
    return found.view(images, *weight.shape)


def norm_gradients(layer: FrozenBatchNorm, activations: list[Tensor], out: Tensor) -> Gradients:
    """The gradients of a frozen batch norm's scale and shift for each image.

    Args:
        layer: The batch norm.
        activations: Its N,C,H,W input, alone.
        out: N,C,H,W gradient of its output.

    Returns:
        N,C gradients of each.
    """
    (x,) = activations
    normalized = F.batch_norm(x, layer.running_mean, layer.running_var, None, None, False, 0.0, layer.eps)
    return {layer.weight: (out * normalized).sum((2, 3)), layer.bias: out.sum((2, 3))}


class NetworkHooks(GradSampleHooks):  # type: ignore[misc]
    """Opacus's hooks with the layers of our networks."""

    GRAD_SAMPLERS = {  # noqa: RUF012
        **GradSampleHooks.GRAD_SAMPLERS,
        nn.Conv2d: conv_gradients,
        FrozenBatchNorm: norm_gradients,
    }


def train_by_image(network: nn.Module) -> None:
    """Sets a network to training mode, as far as hooks need it.

    The layers themselves stay in eval mode: in training mode they would not call their convolutions as modules.

    Args:
        network: The network, inside `sample_gradients`.
    """
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | FrozenBatchNorm):
            module.train()


@contextmanager
def sample_gradients(network: nn.Module) -> Iterator[None]:
    """Inside, a backward pass of a sum of losses leaves the gradients of each image in `parameter.grad_sample`.

    Args:
        network: The network. Its batch norm is frozen inside.

    Yields:
        Nothing.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, ConvBNAct)]
    norms = [layer.bn for layer in layers]
    for layer in layers:
        if isinstance(layer.bn, nn.BatchNorm2d):
            layer.bn = FrozenBatchNorm.of(layer.bn)
    hooks = NetworkHooks(network, loss_reduction="sum", strict=False)
    train_by_image(network)
    try:
        with warnings.catch_warnings():  # images need no gradient, so the stem has none of its input
            warnings.filterwarnings("ignore", "Full backward hook is firing", UserWarning)
            yield
    finally:
        hooks.cleanup()
        for layer, norm in zip(layers, norms, strict=True):
            layer.bn = norm
