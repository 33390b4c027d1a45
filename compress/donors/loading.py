"""Makes a network of a space from a donor's weights: the same function of images in 0..1.

A band that is red, green or blue has the stem weights of that colour. Where all three are there, any other band starts
from zero, so that the network begins as the donor of the picture. Else it starts from the mean of the three.

Three things differ between a donor and a network of ours, and all are folded into the weights:

- The donor subtracts a mean from its input and divides by a deviation. Both go into the stem. At the image's border
  our padding is black, where the donor's is its mean colour.
- EfficientNet-Lite has batch norm with an epsilon of 1e-3, ours is 1e-5. The scale of batch norm takes the difference.
- torchvision pads evenly at stride 2, TensorFlow and we pad after the image. This moves the features of MobileNetV2 by
  less than one of their pixels, and changes nothing else.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from compress.donors.catalogue import check_digest
from compress.donors.naming import Block, Layer, NamedLayers, name_layers
from compress.donors.source import WeightsSource
from compress.files.weights_files import read_weights_file
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype, Stage
from search_spaces.known_networks import LITE_KERNELS, usual_head
from search_spaces.network import Network, layer_name

Colours = tuple[int | None, ...]  # of each band: 0 red, 1 green, 2 blue, None for a band that is no colour
RGB: Colours = (0, 1, 2)
EPS = 1e-5  # of batch norm in `search_spaces.network`
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
KNOWN_FILES = "torchvision's mobilenet_v2 or timm's mobilenetv2_* or tf_efficientnet_lite0, 1 or 2"


@dataclass(frozen=True)
class Convention:
    """What a family of donors does that its tensors do not tell.

    Attributes:
        family: The family.
        mean: What is subtracted from each colour of an image in 0..1.
        deviation: What each colour is then divided by.
        eps: The epsilon of batch norm.
    """

    family: str
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    eps: float


CONVENTIONS = {  # by the kernels of the seven stages
    (3,) * 7: Convention("MobileNetV2", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 1e-5),
    LITE_KERNELS: Convention("EfficientNet-Lite", (127 / 255,) * 3, (128 / 255,) * 3, 1e-3),
}


@dataclass(frozen=True)
class DonorWeights:
    """The backbone of a donor.

    Attributes:
        source: Where it comes from, for messages.
        tensors: The tensors of the file by name.
        layers: Which of them are those of the backbone.
        convention: What the family does that the tensors do not tell.
        stem: Channels of the stem.
        stages: The stages, as a genotype has them.
    """

    source: str
    tensors: Mapping[str, Tensor]
    layers: NamedLayers
    convention: Convention
    stem: int
    stages: tuple[Stage, ...]

    def __str__(self) -> str:
        widths = "-".join(str(stage.width) for stage in self.stages)
        return f"{self.source}: {self.convention.family} with widths {widths} ({self.layers.library}'s names)"


def load_donor(
    source: WeightsSource,
    classes: int,
    resolution: tuple[int, int],
    output_stride: int = 16,
    *,
    space: str = "deeplabv3plus",
    colours: Colours = RGB,
    **head: Any,
) -> Network:
    """Makes a network whose backbone is a donor's. The head has random weights.

    Args:
        source: The donor, or a file of the user's.
        classes: The number of classes.
        resolution: The (H, W) in pixels that the network runs at.
        output_stride: Pixels of the image for one feature of the backbone, a side.
        space: The name of the space.
        colours: What each band of the images shows.
        head: Fields of the genotype in place of those of `usual_head`.

    Returns:
        The network in training mode, on the CPU.

    Raises:
        InputError: The file is damaged, or is not of a known donor.
    """
    donor = read_donor(source)
    return donor_network(donor, classes, resolution, output_stride, space=space, colours=colours, **head)


def read_donor(source: WeightsSource) -> DonorWeights:
    """Reads the weights of a donor.

    Args:
        source: The donor, or a file of the user's.

    Returns:
        The weights.

    Raises:
        InputError: The file is damaged, or is not of a known donor.
    """
    if source.donor is not None:
        check_digest(source.donor, source.file)
    return recognise_donor(read_weights_file(str(source.file)).tensors, str(source))


def is_donor(tensors: Mapping[str, Tensor]) -> bool:
    """Whether tensors have the names of a donor's backbone. `recognise_donor` may still refuse their shapes.

    Args:
        tensors: Tensors by name.

    Returns:
        Whether they have.
    """
    return name_layers(tensors.keys()) is not None


def recognise_donor(tensors: Mapping[str, Tensor], source: str) -> DonorWeights:
    """Recognises a donor by the names and shapes of its tensors.

    Args:
        tensors: The tensors by name.
        source: Where they come from, for messages.

    Returns:
        The donor's weights. Its widths and depths are those of the tensors.

    Raises:
        InputError: They are not those of a known donor; the line says what was seen.
    """
    layers = name_layers(tensors.keys())
    if layers is None:
        first = next(iter(tensors), "")
        seen = f"{len(tensors)} tensors, {first[:80]} {tuple(tensors[first].shape)} first" if first else "no tensors"
        raise InputError(f"--weights {source}: not a known backbone, it has {seen}; give {KNOWN_FILES}")
    if layers.unknown:
        raise InputError(
            f"--weights {source}: its blocks have tensors that MobileNetV2 and EfficientNet-Lite lack, "
            f"{layers.unknown[0]} first; give {KNOWN_FILES}"
        )
    try:
        stem = int(tensors[f"{layers.stem.conv}.weight"].shape[0])
        stages = tuple(_stage(tensors, blocks) for blocks in layers.stages)
        kernels = tuple(stage.kernel for stage in stages)
        if kernels not in CONVENTIONS:
            raise ValueError(f"depthwise kernels have sides of {kernels} pixels")
        found = DonorWeights(source, tensors, layers, CONVENTIONS[kernels], stem, stages)
        donor_network(found, 2, (32, 32))  # compares all shapes
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        fault = f"tensor {error.args[0]} is missing" if isinstance(error, KeyError) else error
        raise InputError(
            f"--weights {source}: its tensors have {layers.library}'s names but do not fit ({fault}); "
            f"give {KNOWN_FILES}"
        ) from error
    return found


def _stage(tensors: Mapping[str, Tensor], blocks: tuple[Block, ...]) -> Stage:
    """A stage as a genotype has it."""
    shapes = [[tuple(tensors[f"{layer.conv}.weight"].shape) for layer in block] for block in blocks]
    depthwise = {shape[-2][2:] for shape in shapes}
    if len(depthwise) > 1 or len(next(iter(depthwise))) != 2:
        raise ValueError(f"depthwise kernels of a stage have sides of {sorted(depthwise)} pixels")
    return Stage(shapes[0][-1][0], int(next(iter(depthwise))[0]), tuple(shape[-2][0] for shape in shapes))


def donor_network(
    donor: DonorWeights,
    classes: int,
    resolution: tuple[int, int],
    output_stride: int = 16,
    *,
    space: str = "deeplabv3plus",
    colours: Colours = RGB,
    **head: Any,
) -> Network:
    """Makes a network whose backbone has the donor's weights; arguments as of `load_donor`.

    Args:
        donor: The donor's weights.
        classes: The number of classes.
        resolution: The (H, W) in pixels that the network runs at.
        output_stride: Pixels of the image for one feature of the backbone, a side.
        space: The name of the space.
        colours: What each band of the images shows.
        head: Fields of the genotype in place of those of `usual_head`.

    Returns:
        The network in training mode, on the CPU.

    Raises:
        InputError: A value breaks a rule of genotypes.
    """
    backbone = {"stem": donor.stem, "stages": donor.stages, "bands": len(colours)}
    fields = {**usual_head(space, donor.stem / 32), **head, **backbone}
    genotype = Genotype(space=space, classes=classes, resolution=resolution, output_stride=output_stride, **fields)
    network = Network(genotype)
    state = network.state_dict()
    for name, value in backbone_tensors(donor, colours):
        if state[name].shape != value.shape:
            raise ValueError(f"{name} has shape {tuple(value.shape)} in place of {tuple(state[name].shape)}")
        state[name] = value
    network.load_state_dict(state)
    return network


def backbone_tensors(donor: DonorWeights, colours: Colours = RGB) -> Iterator[tuple[str, Tensor]]:
    """The tensors of the donor's backbone as a network of ours has them.

    Args:
        donor: The donor's weights.
        colours: What each band of the images shows.

    Yields:
        Names of `search_spaces.network.Network` and tensors.
    """
    mean, deviation = (
        torch.tensor(value).view(1, 3, 1, 1) for value in (donor.convention.mean, donor.convention.deviation)
    )
    stem = dict(_layer(donor, donor.layers.stem))
    weight = stem["conv.weight"] / deviation
    yield from _named(
        "stem",
        {
            **stem,
            "conv.weight": for_bands(weight, colours),
            "bn.running_mean": stem["bn.running_mean"] + for_bands(weight * mean, colours, 0.0).sum((1, 2, 3)),
        },
    )
    for i, blocks in enumerate(donor.layers.stages, start=1):
        for b, block in enumerate(blocks):
            kinds = ("expand", "depthwise", "project")[-len(block) :]
            for kind, layer in zip(kinds, block, strict=True):
                yield from _named(f"stage{i}.{b}.{kind}", dict(_layer(donor, layer)))


def for_bands(weight: Tensor, colours: Colours, others: float = 1.0) -> Tensor:
    """The weights of a stem for images of any bands.

    Args:
        weight: width,3,k,k weights for red, green and blue.
        colours: What each band of the images shows.
        others: The weights of a band that shows no colour where one of the three colours is missing, in units of the
            mean over the three colours.

    Returns:
        width,bands,k,k weights.
    """
    rest = (0.0 if set(RGB) <= set(colours) else others) * weight.mean(1)
    return torch.stack([rest if colour is None else weight[:, colour] for colour in colours], 1)


def _named(op_name: str, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    yield from ((f"layers.{layer_name(op_name)}.{name}", value) for name, value in tensors.items())


def _layer(donor: DonorWeights, layer: Layer) -> Iterator[tuple[str, Tensor]]:
    """A convolution and its batch norm, for an epsilon of 1e-5."""
    weight = donor.tensors[f"{layer.conv}.weight"]
    norm = {name: donor.tensors[f"{layer.norm}.{name}"].float() for name in BATCH_NORM}
    variance = norm["running_var"]
    yield "conv.weight", weight.float()
    yield "bn.weight", norm["weight"] * ((variance + EPS) / (variance + donor.convention.eps)).sqrt()
    yield from ((f"bn.{name}", norm[name]) for name in BATCH_NORM[1:])
