"""Gives timm's encoders the ImageNet weights that SlimLab starts from, so that peers start from the same donors."""

from collections.abc import Iterator

import torch
from torch import nn

from compress.donors.loading import BATCH_NORM, read_donor
from compress.donors.naming import Layer, NamedLayers, name_layers
from compress.donors.source import initial_weights_source
from search_spaces.errors import InputError


def start_from(encoder: nn.Module, name: str) -> None:
    """Copies the weights of a donor.

    The donor subtracts a mean from its input and divides by a deviation. Both are folded into the stem, so the encoder
    takes images in 0..1, as all peers do.

    Args:
        encoder: The encoder of timm, changed in place.
        name: The donor, a name that `--weights` takes.

    Raises:
        InputError: The donor's package is missing, or the encoder has other layers.
    """
    source = initial_weights_source(name)
    assert source is not None
    donor, tensors = read_donor(source), encoder.state_dict()
    own = name_layers(tensors.keys())
    if own is None:
        raise InputError(f"{name}: the encoder's layers are not those of a known backbone")
    for theirs, ours in zip(layers_of(donor.layers), layers_of(own), strict=True):
        tensors[f"{ours.conv}.weight"].copy_(donor.tensors[f"{theirs.conv}.weight"])
        for part in BATCH_NORM:
            tensors[f"{ours.norm}.{part}"].copy_(donor.tensors[f"{theirs.norm}.{part}"])
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = donor.convention.eps
    stem, mean_of_stem = tensors[f"{own.stem.conv}.weight"], tensors[f"{own.stem.norm}.running_mean"]
    stem /= torch.tensor(donor.convention.deviation).view(1, 3, 1, 1)
    mean_of_stem += (stem * torch.tensor(donor.convention.mean).view(1, 3, 1, 1)).sum((1, 2, 3))


def layers_of(named: NamedLayers) -> Iterator[Layer]:
    """All layers of a backbone, in their order."""
    yield named.stem
    for stage in named.stages:
        for block in stage:
            yield from block
