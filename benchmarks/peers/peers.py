"""The networks a user would pick instead, by name. A name ends with its width: what every number of channels is
multiplied by, in percent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import vision  # noqa: F401  before torchmetrics, which imports torchvision where it is installed
from donors import start_from
from realtime import BiSeNetV2, FastSCNN, PPLiteSeg
from torch import Tensor, nn

from search_spaces.errors import InputError
from search_spaces.genotype import round_channels

OUTPUT_STRIDE, RATES = 16, (6, 12, 18)
DECODER = 256  # channels of DeepLab's ASPP and decoder
UNET = (256, 128, 64, 32, 16)  # of U-Net's decoder
BN_MOMENTUM = 0.1  # torch's and SlimLab's; torchvision's 0.01 would not settle in a short schedule


@dataclass(frozen=True)
class Peer:
    """`build(classes, width)` makes a module from N,3,H,W images in 0..1, H and W multiples of `divisor`, to logits at
    whatever stride it ends with. `is_pretrained`: its encoder starts from ImageNet weights."""

    family: str
    width: float
    build: Callable[[int, float], nn.Module]
    divisor: int = 1
    is_pretrained: bool = False


def build(name: str, classes: int) -> nn.Module:
    """With its first weights. Raises InputError when the package that has the network is not installed."""
    network = PEERS[name].build(classes, PEERS[name].width)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = BN_MOMENTUM
    return network


def package(name: str) -> Any:
    """Raises InputError when it is not there."""
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            f"{name} cannot be imported ({error}); make peers sets up an environment that has it"
        ) from error


def encoder(width: float) -> str:
    """timm's MobileNetV2, as segmentation_models_pytorch names it."""
    return f"tu-mobilenetv2_{round(100 * width):03}"


def deeplab(kind: str, classes: int, width: float, backbone: str = "") -> nn.Module:
    """For mobile: output stride 16 and its rates. No dropout, since SlimLab's nets have none."""
    made: nn.Module = getattr(package("segmentation_models_pytorch"), kind)(
        backbone or encoder(width),
        encoder_weights=None,
        encoder_output_stride=OUTPUT_STRIDE,
        decoder_channels=round_channels(DECODER * width),
        decoder_atrous_rates=RATES,
        decoder_aspp_dropout=0.0,
        classes=classes,
        upsampling=1,
    )
    return made


def pretrained(classes: int, width: float, backbone: str, donor: str) -> nn.Module:
    """DeepLabV3+ whose encoder starts from ImageNet weights."""
    made = deeplab("DeepLabV3Plus", classes, width, backbone)
    start_from(made.encoder, donor)
    return made


def unet(classes: int, width: float) -> nn.Module:
    """Bilinear, since XNNPACK does not take the nearest neighbour that is the default."""
    made: nn.Module = package("segmentation_models_pytorch").Unet(
        encoder(width),
        encoder_weights=None,
        decoder_channels=[round_channels(channels * width) for channels in UNET],
        decoder_interpolation="bilinear",
        classes=classes,
    )
    return made


class Scores(nn.Module):
    """torchvision's LR-ASPP before it enlarges its logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.backbone, self.classifier = network.backbone, network.classifier

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.backbone(images))
        return logits


def lraspp(classes: int, width: float, swish: bool = False) -> nn.Module:
    """With `swish` every hard-swish is a swish and every hard sigmoid a sigmoid: XNNPACK takes no int8 HARD_SWISH
    (docs/family.md)."""
    backbone = package("torchvision.models").mobilenet_v3_large(weights=None, width_mult=width, dilated=True)
    joined = package("torchvision.models.segmentation.lraspp")._lraspp_mobilenetv3(backbone, classes)
    return in_swish(Scores(joined)) if swish else Scores(joined)


def in_swish(network: nn.Module) -> nn.Module:
    soft = {nn.Hardswish: nn.SiLU, nn.Hardsigmoid: nn.Sigmoid}
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) in soft:
                setattr(module, name, soft[type(child)]())
    return network


def yolo(classes: int, width: float) -> nn.Module:
    """The smallest one, from its yaml. Its auxiliary head is left out, since the recipe's loss is of the logits
    alone."""
    name = "yolo26n-sem.yaml"
    made: nn.Module = package("ultralytics.nn.tasks").SemanticSegmentationModel(name, nc=classes, verbose=False)
    made.get_submodule("model")[-1].aux_head = None
    return made.requires_grad_(True)


def family(
    title: str,
    build: Callable[[int, float], nn.Module],
    widths: Sequence[float],
    divisor: int = 1,
    is_pretrained: bool = False,
) -> dict[float, Peer]:
    return {width: Peer(title, width, build, divisor, is_pretrained) for width in widths}


FAMILIES = {
    # segmentation_models_pytorch, encoders of timm
    "deeplabv3plus": family("DeepLabV3+ MobileNetV2", partial(deeplab, "DeepLabV3Plus"), (0.35, 0.5, 0.75, 1, 1.4), 16),
    "deeplabv3": family("DeepLabV3 MobileNetV2", partial(deeplab, "DeepLabV3"), (0.35, 0.5, 0.75, 1), 16),
    "unet": family("U-Net MobileNetV2", unet, (0.35, 0.5, 1), 32),
    # the same from the ImageNet weights that SlimLab starts from
    "deeplabv3plus_mobilenetv2_imagenet": family(
        "DeepLabV3+ MobileNetV2, ImageNet",
        partial(pretrained, backbone="tu-mobilenetv2_100", donor="mobilenet_v2"),
        (1,),
        16,
        is_pretrained=True,
    ),
    "deeplabv3plus_lite0_imagenet": family(
        "DeepLabV3+ EfficientNet-Lite0, ImageNet",
        partial(pretrained, backbone="tu-tf_efficientnet_lite0", donor="efficientnet_lite0"),
        (1,),
        16,
        is_pretrained=True,
    ),
    # torchvision
    "lraspp": family("LR-ASPP MobileNetV3-Large", lraspp, (0.5, 0.75, 1)),
    "lraspp_swish": family("LR-ASPP MobileNetV3-Large, swish", partial(lraspp, swish=True), (0.5, 0.75, 1)),
    # ultralytics, under the AGPL
    "yolo26n_sem": family("YOLO26n semantic segmentation", yolo, (1,), 32),
    # realtime.py
    "fastscnn": family("Fast-SCNN", FastSCNN, (0.5, 1)),
    "bisenetv2": family("BiSeNetV2", BiSeNetV2, (0.5, 1), 4),
    "ppliteseg": family("PP-LiteSeg", PPLiteSeg, (0.25, 0.5, 1)),
}
PEERS = {f"{key}_{round(100 * width):03}": peer for key, made in FAMILIES.items() for width, peer in made.items()}
