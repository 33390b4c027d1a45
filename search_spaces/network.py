"""The `nn.Module` of an op list: N,3,H,W images in, N,classes,h,w logits out."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces import graph_of
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


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Pixels before and after, as TensorFlow's SAME pads: the odd one goes after."""
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
        if self.conv.stride[0] > 1:
            (kernel, _), (stride, _), (dilation, _) = self.conv.kernel_size, self.conv.stride, self.conv.dilation
            rows = same_padding(x.shape[2], kernel, stride, dilation)
            columns = same_padding(x.shape[3], kernel, stride, dilation)
            x = F.pad(x, (*columns, *rows))
        x = self.bn(self.conv(x))
        return F.relu6(x) if self.relu6 else x


@torch.no_grad()
def keep_centre(kernel: Tensor) -> None:
    """Sets all taps but the centre to zero, in place (after Yu and Koltun 2016, whose context module starts as the
    identity). An atrous tap that reaches past the features of every training crop has no gradient: from zero it stays
    out of the way, while a random one would add noise where whole images are large enough for it."""
    middle = kernel.shape[-1] // 2
    centre = kernel[..., middle, middle].clone()
    kernel.zero_()
    kernel[..., middle, middle] = centre


class Network(nn.Module):
    """Runs the op list of a genotype. `forward` ends before the argmax, so that it can be trained."""

    def __init__(self, genotype: Genotype) -> None:
        super().__init__()
        self.genotype = genotype
        self.graph = graph_of(genotype)
        # "." separates modules in a state dict, so it cannot stand in a module's own name
        self.layers = nn.ModuleDict({layer_name(op.name): ConvBNAct(op) for op in self.graph if op.has_weights})

    def forward(self, x: Tensor) -> Tensor:
        class_map = self.graph[-1]
        return self.values(x)[class_map.inputs[0]]

    def values(self, x: Tensor) -> dict[str, Tensor]:
        """N,C,h,w of every op before the argmax, by name."""
        values = {INPUT: x}
        for op in self.graph:
            if op.kind != ARGMAX:
                values[op.name] = self.run(op, values)
        return values

    def run(self, op: Op, values: Mapping[str, Tensor]) -> Tensor:
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
    return op_name.replace(".", "_")


def fold_batch_norm(network: Network) -> Network:
    """A copy in eval mode whose convolutions carry their batch norm as weight and bias."""
    folded = Network(network.genotype)
    folded.load_state_dict(network.state_dict())
    folded.eval()
    for layer in folded.layers.values():
        assert isinstance(layer, ConvBNAct)
        if isinstance(layer.bn, nn.BatchNorm2d):
            layer.conv = nn.utils.fuse_conv_bn_eval(layer.conv, layer.bn)
            layer.bn = nn.Identity()
    return folded
