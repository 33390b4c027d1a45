"""The `nn.Module` of an op list: N,bands,H,W images in, N,classes,h,w logits out."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces import graph_of
from search_spaces.backbone import is_backbone
from search_spaces.depthwise import depthwise
from search_spaces.genotype import Genotype
from search_spaces.ops import (
    ADD,
    ARGMAX,
    CONCAT,
    DEPTHWISE,
    INPUT,
    MEAN,
    MUL,
    RESIZE,
    SIGMOID,
    Op,
    out_size,
)

FEW_IMAGES = 16  # below, torch does not ask oneDNN for small kernels on one thread


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """The padding of TensorFlow's SAME; the odd pixel goes after.

    Args:
        size: The side of the input in pixels.
        kernel: The side of the kernel in pixels.
        stride: The stride.
        dilation: The atrous rate.

    Returns:
        Pixels before and pixels after.
    """
    total = max(0, (out_size(size, stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
    return total // 2, total - total // 2


class ConvBNAct(nn.Module):
    """Convolution with SAME padding, batch norm or a bias, ReLU6 where the op has it."""

    def __init__(self, op: Op) -> None:
        super().__init__()
        channels, group_in, kernel, _ = op.weight_shape
        groups = channels if op.kind == DEPTHWISE else 1
        # at stride 1 SAME is symmetric; at stride 2 it depends on the input's size, so `forward` pads
        padding = (kernel - 1) * op.dilation // 2 if op.stride == 1 else 0
        self.conv = nn.Conv2d(
            group_in * groups, channels, kernel, op.stride, padding, op.dilation, groups, bias=not op.norm
        )
        if op.dilation > 1:
            keep_centre(self.conv.weight)
        self.bn = nn.BatchNorm2d(channels) if op.norm else nn.Identity()
        self.relu6 = op.relu6

    def forward(self, x: Tensor) -> Tensor:
        """Runs the layer.

        Args:
            x: N,C,H,W values.

        Returns:
            N,width,ceil(H/stride),ceil(W/stride) values.
        """
        return self.normalize(self.convolve(x))

    def convolve(self, x: Tensor) -> Tensor:
        """Runs the convolution alone.

        Args:
            x: N,C,H,W values.

        Returns:
            N,width,ceil(H/stride),ceil(W/stride) values before batch norm.
        """
        if self.conv.stride[0] > 1:
            (kernel, _), (stride, _), (dilation, _) = self.conv.kernel_size, self.conv.stride, self.conv.dilation
            rows = same_padding(x.shape[2], kernel, stride, dilation)
            columns = same_padding(x.shape[3], kernel, stride, dilation)
            x = F.pad(x, (*columns, *rows))
        convolved: Tensor = self._trained(x) if self.training and torch.is_grad_enabled() else self.conv(x)
        return convolved

    def normalize(self, x: Tensor) -> Tensor:
        """Runs what follows the convolution.

        Args:
            x: What `convolve` gave.

        Returns:
            The values after batch norm, and after ReLU6 where the op has it.
        """
        x = self.bn(x)
        return F.relu6(x) if self.relu6 else x

    def _trained(self, x: Tensor) -> Tensor:
        """The convolution with the gradients that are fastest on the device."""
        conv = self.conv
        if x.device.type != "cpu":
            convolved: Tensor = conv(x)
        elif conv.groups > 1:
            convolved = depthwise(x, conv.weight, conv.bias, conv.stride[0], int(conv.padding[0]), conv.dilation[0])
        else:
            convolved = dense(x, conv)
        return convolved


def dense(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """A dense convolution. Torch takes a slow one for few images on one thread: there one of 1x1 is a matrix product.

    Args:
        x: N,C,H,W values.
        conv: The convolution.

    Returns:
        N,width,h,w values.
    """
    if conv.kernel_size == conv.stride == (1, 1) and len(x) < FEW_IMAGES and torch.get_num_threads() == 1:
        return F.linear(x.permute(0, 2, 3, 1), conv.weight.flatten(1), conv.bias).permute(0, 3, 1, 2)
    convolved: Tensor = conv(x)
    return convolved


@torch.no_grad()
def keep_centre(kernel: Tensor) -> None:
    """Sets all weights of an atrous kernel but its centre to zero, in place.

    This follows Yu and Koltun (2016), whose context module starts as the identity. A weight that reaches past the
    features of every training crop gets no gradient. At zero it does no harm. At random it would add noise on whole
    images, which are large enough for it.

    Args:
        kernel: The weights, of any shape that ends with the kernel's height and width.
    """
    middle = kernel.shape[-1] // 2
    centre = kernel[..., middle, middle].clone()
    kernel.zero_()
    kernel[..., middle, middle] = centre


class Network(nn.Module):
    """Runs the ops of a genotype. `forward` ends before the argmax, so that it can be trained.

    Attributes:
        genotype: What the network is.
        graph: Its ops.
        layers: The convolutions with their batch norms, by `layer_name`.
    """

    def __init__(self, genotype: Genotype) -> None:
        super().__init__()
        self.genotype = genotype
        self.graph = graph_of(genotype)
        # "." separates modules in a state dict, so it cannot stand in a module's own name
        self.layers = nn.ModuleDict({layer_name(op.name): ConvBNAct(op) for op in self.graph if op.has_weights})

    def forward(self, x: Tensor) -> Tensor:
        """Runs the network.

        Args:
            x: N,bands,H,W images in 0..1.

        Returns:
            N,classes,h,w logits; h and w are H and W divided by the head's stride.
        """
        return self.values(x)[self.logits]

    @property
    def logits(self) -> str:
        """The name of the op that makes the logits."""
        last = self.graph[-1]
        return last.inputs[0] if last.kind == ARGMAX else last.name

    def values(self, x: Tensor) -> dict[str, Tensor]:
        """Runs every op before the argmax.

        Args:
            x: N,bands,H,W images in 0..1.

        Returns:
            The N,C,h,w output of each op, by name.
        """
        return self.completed({INPUT: x})

    def completed(self, known: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Runs every op before the argmax whose output is not known.

        Args:
            known: The images and the N,C,h,w outputs of any ops, by name.

        Returns:
            The N,C,h,w output of each op, by name.
        """
        values = dict(known)
        for op in self.graph:
            if op.kind != ARGMAX and op.name not in values:
                values[op.name] = self.run(op, values)
        return values

    def run(self, op: Op, values: Mapping[str, Tensor]) -> Tensor:
        """Runs one op.

        Args:
            op: The op.
            values: The N,C,h,w outputs of the ops before it, by name.

        Returns:
            Its N,C,h,w output.
        """
        inputs = [values[name] for name in op.inputs]
        if op.kind == ADD:
            return inputs[0] + inputs[1]
        if op.kind == MUL:
            return inputs[0] * inputs[1]
        if op.kind == SIGMOID:
            return torch.sigmoid(inputs[0])
        if op.kind == CONCAT:
            return torch.cat(inputs, dim=1)
        if op.kind == MEAN:
            return inputs[0].mean((2, 3), keepdim=True)
        if op.kind == RESIZE:
            height, width = values[op.like].shape[2:]
            size = (out_size(height, op.divide), out_size(width, op.divide))
            return F.interpolate(inputs[0], size, mode="bilinear", align_corners=False)
        layer: Tensor = self.layers[layer_name(op.name)](inputs[0])
        return layer


def layer_name(op_name: str) -> str:
    """The name of an op's module: PyTorch allows no dot in it.

    Args:
        op_name: The op's name.

    Returns:
        The name in `Network.layers`.
    """
    return op_name.replace(".", "_")


def is_backbone_weight(name: str) -> bool:
    """Tells whether a tensor of a network's state dict belongs to the backbone.

    Args:
        name: The tensor's name.

    Returns:
        Whether it does.
    """
    return is_backbone(name.removeprefix("layers."))


def fold_batch_norm(network: Network) -> Network:
    """Folds batch norm into the convolutions.

    Args:
        network: The network, which is left as it is.

    Returns:
        A copy in eval mode that computes the same; its convolutions have biases and no batch norm.
    """
    folded = Network(network.genotype)
    folded.load_state_dict(network.state_dict())
    folded.eval()
    for layer in folded.layers.values():
        assert isinstance(layer, ConvBNAct)
        if isinstance(layer.bn, nn.BatchNorm2d):
            layer.conv = nn.utils.fuse_conv_bn_eval(layer.conv, layer.bn)
            layer.bn = nn.Identity()
    return folded
