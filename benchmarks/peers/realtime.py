"""Networks made for real-time segmentation, from their papers in plain torch: Fast-SCNN, BiSeNetV2, PP-LiteSeg.

Each takes N,3,H,W images and gives N,classes,H/8,W/8 logits; `width` multiplies every number of channels. Two things
differ from the papers: pyramid pooling has windows of one size, so that it is one op in a file (`pooled`), and there
are no auxiliary heads, since the recipe's loss is of the logits alone.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.genotype import round_channels


def conv(
    width_in: int, width: int, kernel: int = 1, stride: int = 1, groups: int = 1, dilation: int = 1, relu: bool = True
) -> nn.Sequential:
    padding = (kernel - 1) // 2 * dilation
    layer = nn.Conv2d(width_in, width, kernel, stride, padding, dilation, groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(width), *([nn.ReLU()] if relu else []))


def separable(width_in: int, width: int, stride: int = 1, relu: bool = True) -> nn.Sequential:
    """Depthwise 3x3, 1x1, without an activation between them."""
    depthwise = conv(width_in, width_in, 3, stride, groups=width_in, relu=False)
    return nn.Sequential(depthwise, conv(width_in, width, relu=relu))


def resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


def halved(x: Tensor) -> Tensor:
    """Means of 3x3 windows at stride 2, as the depthwise convolution that XNNPACK takes; it takes no int8 pooling."""
    channels = x.shape[1]
    return F.conv2d(x, x.new_full((channels, 1, 3, 3), 1 / 9), stride=2, padding=1, groups=channels)


def pooled(x: Tensor, bins: int) -> Tensor:
    """Means of `bins` windows a side, all of one size, as adaptive pooling makes where `bins` divides the image;
    elsewhere its windows differ and each is a few ops in a file."""
    if bins == 1:
        return x.mean((2, 3), keepdim=True)
    strides = [max(1, side // bins) for side in x.shape[2:]]
    windows = [max(1, side - (bins - 1) * stride) for side, stride in zip(x.shape[2:], strides, strict=True)]
    return F.avg_pool2d(x, windows, strides)


class InvertedResidual(nn.Module):
    """Sandler et al. 2018, with ReLU."""

    def __init__(self, width_in: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = width_in * expansion
        self.layers = nn.Sequential(
            conv(width_in, hidden), conv(hidden, hidden, 3, stride, groups=hidden), conv(hidden, width, relu=False)
        )
        self.residual = stride == 1 and width_in == width

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.layers(x)
        return x + made if self.residual else made


class FastSCNN(nn.Module):
    """Poudel et al. 2019, *Fast-SCNN: Fast Semantic Segmentation Network*, table 1."""

    BINS = (1, 2, 3, 6)

    def __init__(self, classes: int, width: float = 1.0) -> None:
        super().__init__()
        c32, c48, c64, c96, c128 = (round_channels(c * width) for c in (32, 48, 64, 96, 128))
        self.learning_to_downsample = nn.Sequential(conv(3, c32, 3, 2), separable(c32, c48, 2), separable(c48, c64, 2))
        blocks, width_in = [], c64
        for c, stride in ((c64, 2), (c96, 2), (c128, 1)):
            for step in (stride, 1, 1):
                blocks.append(InvertedResidual(width_in, c, step, 6))
                width_in = c
        self.global_features = nn.Sequential(*blocks)
        self.pyramid = nn.ModuleList(conv(c128, round_channels(c128 / 4)) for _ in self.BINS)
        self.pyramid_out = conv(c128 + len(self.BINS) * round_channels(c128 / 4), c128)
        self.fine = conv(c64, c128, relu=False)
        self.coarse = nn.Sequential(conv(c128, c128, 3, groups=c128, dilation=4), conv(c128, c128, relu=False))
        self.classifier = nn.Sequential(separable(c128, c128), separable(c128, c128), nn.Conv2d(c128, classes, 1))

    def forward(self, images: Tensor) -> Tensor:
        fine = self.learning_to_downsample(images)
        x = self.global_features(fine)
        levels = [resized(level(pooled(x, bins)), x) for level, bins in zip(self.pyramid, self.BINS, strict=True)]
        x = self.pyramid_out(torch.cat([x, *levels], 1))
        fused = F.relu(self.fine(fine) + self.coarse(resized(x, fine)))
        logits: Tensor = self.classifier(fused)
        return logits


class GatherExpand(nn.Module):
    """BiSeNetV2's gather-and-expansion layer (figure 5)."""

    def __init__(self, width_in: int, width: int, stride: int, expansion: int = 6) -> None:
        super().__init__()
        hidden = width_in * expansion
        layers = [conv(width_in, width_in, 3), conv(width_in, hidden, 3, stride, groups=width_in, relu=False)]
        if stride == 2:
            layers.append(conv(hidden, hidden, 3, groups=hidden, relu=False))
        self.layers = nn.Sequential(*layers, conv(hidden, width, relu=False))
        self.shortcut = separable(width_in, width, 2, relu=False) if stride == 2 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.layers(x) + self.shortcut(x))


class Stem(nn.Module):
    """BiSeNetV2's stem block: stride 4 by a convolution and by pooling (figure 5)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv(3, width, 3, 2)
        self.convolved = nn.Sequential(conv(width, width // 2), conv(width // 2, width, 3, 2))
        self.out = conv(2 * width, width, 3)

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images)
        made: Tensor = self.out(torch.cat([self.convolved(x), F.max_pool2d(x, 3, 2, ceil_mode=True)], 1))
        return made


class BiSeNetV2(nn.Module):
    """Yu et al. 2020, *BiSeNet V2: Bilateral Network with Guided Aggregation*, tables 1 and 2, figures 5 and 6."""

    def __init__(self, classes: int, width: float = 1.0) -> None:
        super().__init__()
        c16, c32, c64, c128, head = (round_channels(c * width) for c in (16, 32, 64, 128, 1024))
        self.detail = nn.Sequential(
            conv(3, c64, 3, 2), conv(c64, c64, 3),
            conv(c64, c64, 3, 2), conv(c64, c64, 3), conv(c64, c64, 3),
            conv(c64, c128, 3, 2), conv(c128, c128, 3), conv(c128, c128, 3),
        )  # fmt: skip
        self.semantic = nn.Sequential(
            Stem(c16), GatherExpand(c16, c32, 2), GatherExpand(c32, c32, 1), GatherExpand(c32, c64, 2),
            GatherExpand(c64, c64, 1), GatherExpand(c64, c128, 2), *(GatherExpand(c128, c128, 1) for _ in range(3)),
        )  # fmt: skip
        self.pool_norm, self.context = nn.BatchNorm2d(c128), conv(c128, c128)
        self.context_out = conv(c128, c128, 3)
        self.detail_kept = separable(c128, c128, relu=False)
        self.detail_reduced = conv(c128, c128, 3, 2, relu=False)
        self.semantic_enlarged = conv(c128, c128, 3, relu=False)
        self.semantic_kept = separable(c128, c128, relu=False)
        self.merged = conv(c128, c128, 3)
        self.classifier = nn.Sequential(conv(c128, head, 3), nn.Conv2d(head, classes, 1))

    def forward(self, images: Tensor) -> Tensor:
        detail, x = self.detail(images), self.semantic(images)
        x = self.context_out(x + self.context(self.pool_norm(x.mean((2, 3), keepdim=True))))
        # guided aggregation: each branch is the other's gate, once at each scale
        fine = self.detail_kept(detail) * torch.sigmoid(resized(self.semantic_enlarged(x), detail))
        reduced = halved(self.detail_reduced(detail))
        coarse = reduced * torch.sigmoid(self.semantic_kept(x))
        logits: Tensor = self.classifier(self.merged(fine + resized(coarse, fine)))
        return logits


class ShortTermDense(nn.Module):
    """STDC module (Fan et al. 2021, figure 3): four convolutions, each of half the channels, all joined."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        parts = (width // 2, width // 4, width // 8, width - width // 2 - width // 4 - width // 8)
        self.first = conv(width_in, parts[0])
        self.reduce = conv(parts[0], parts[0], 3, 2, groups=parts[0], relu=False) if stride == 2 else nn.Identity()
        self.stride = stride
        self.others = nn.ModuleList(conv(a, b, 3) for a, b in pairwise(parts))

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        x = self.reduce(first)
        made = [halved(first) if self.stride == 2 else first]
        for layer in self.others:
            x = layer(x)
            made.append(x)
        return torch.cat(made, 1)


class UnifiedAttention(nn.Module):
    """PP-LiteSeg's UAFM with spatial attention (figure 4): a gate from both. Of channels it takes the mean and
    not the maximum too, for which there is no int8 op: the authors' UAFM_SpAtten_S."""

    def __init__(self, fine: int, coarse: int, width: int) -> None:
        super().__init__()
        self.fine, self.out = conv(fine, coarse, 3), conv(coarse, width, 3)
        self.gate = nn.Sequential(conv(2, 2, 3), conv(2, 1, 3, relu=False))

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        fine = self.fine(fine)
        coarse = resized(coarse, fine)
        seen = torch.cat([fine.mean(1, keepdim=True), coarse.mean(1, keepdim=True)], 1)
        gate = torch.sigmoid(self.gate(seen))
        made: Tensor = self.out(fine + gate * (coarse - fine))
        return made


class PPLiteSeg(nn.Module):
    """Peng et al. 2022, *PP-LiteSeg: A Superior Real-Time Semantic Segmentation Model*: PP-LiteSeg-T, that is STDC1,
    pyramid pooling that adds up, and a decoder that narrows to stride 8; its first step is at stride 32, as in the
    authors' PaddleSeg."""

    BINS = (1, 2, 4)

    def __init__(self, classes: int, width: float = 1.0) -> None:
        super().__init__()
        c32, c64, c128, c256, c512, c1024 = (round_channels(c * width) for c in (32, 64, 128, 256, 512, 1024))
        self.stem = nn.Sequential(conv(3, c32, 3, 2), conv(c32, c64, 3, 2))
        self.stages = nn.ModuleList(self.stage(a, b) for a, b in ((c64, c256), (c256, c512), (c512, c1024)))
        self.pyramid = nn.ModuleList(conv(c1024, c128) for _ in self.BINS)
        self.pyramid_out = conv(c128, c128, 3)
        self.decoder = nn.ModuleList(
            UnifiedAttention(*widths) for widths in ((c1024, c128, c128), (c512, c128, c64), (c256, c64, c32))
        )
        self.classifier = nn.Sequential(conv(c32, c32, 3), nn.Conv2d(c32, classes, 1))

    @staticmethod
    def stage(width_in: int, width: int) -> nn.Sequential:
        return nn.Sequential(ShortTermDense(width_in, width, 2), ShortTermDense(width, width, 1))

    def forward(self, images: Tensor) -> Tensor:
        x, skips = self.stem(images), []
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        levels = [resized(level(pooled(x, bins)), x) for level, bins in zip(self.pyramid, self.BINS, strict=True)]
        x = self.pyramid_out(levels[0] + levels[1] + levels[2])
        for merge, skip in zip(self.decoder, reversed(skips), strict=True):
            x = merge(skip, x)
        logits: Tensor = self.classifier(x)
        return logits
