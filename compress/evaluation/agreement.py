"""How far the class maps of exported files agree with those of torch networks, and how far they must."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from compress.data.validation import Validation
from search_spaces.errors import InputError
from search_spaces.network import Network


@dataclass(frozen=True)
class AgreementBound:
    """How far an exported file must agree with a torch network.

    Attributes:
        file: The name of the file in the run folder.
        against: What it is compared with.
        minimum: The least share (0..1) of pixels of the same class, or of what `of` names.
        unless_ops_agree: The least share where each op by itself agrees on EXACT_OPS of its values; None for `minimum`.
        gives: What the file and the torch network are to have in common.
        of: What the share is of.
    """

    file: str
    against: str
    minimum: float
    unless_ops_agree: float | None = None
    gives: str = "the class"
    of: str = "the pixels"


# of the values of the worst op: what differs then is single roundings, of which a hardly trained network makes much
EXACT_OPS = 0.999
# By the name of the figure in export/metrics.json. docs/compression.md gives what networks reach and why the bounds lie
# where they do. The first two files compute what torch computes. Int8 differs by rounding. The .tflite variants of
# model.tflite have its ops and give its classes. model.int8.onnx has its ranges, and rounds as ONNX Runtime does.
AGREEMENT_BOUNDS = {
    "float_agreement_with_torch": AgreementBound("model.float.tflite", "the torch network", 0.995),
    "onnx_agreement_with_torch": AgreementBound("model.onnx", "the torch network", 0.995),
    "agreement_with_simulation": AgreementBound("model.tflite", "simulated int8", 0.95, unless_ops_agree=0.5),
    "op_agreement_with_simulation": AgreementBound(
        "model.tflite", "simulated int8", 0.95, gives="the values", of="what its worst op makes"
    ),
    "agreement_with_torch": AgreementBound("model.tflite", "the float network", 0.5),
    "uint8_agreement": AgreementBound("model.uint8.tflite", "model.tflite", 1.0),
    "mediapipe_agreement": AgreementBound("model.mediapipe.tflite", "model.tflite", 1.0),
    "int8_onnx_agreement": AgreementBound("model.int8.onnx", "model.tflite", 0.95),
}


@torch.inference_mode()
def agreement(maps: list[np.ndarray], network: Network, validation: Validation) -> float:
    """The share of pixels to which the network gives the class that the maps give.

    Args:
        maps: Class maps h,w of the first images of the split.
        network: The torch network, in eval mode on the CPU.
        validation: The split.

    Returns:
        The mean share (0..1) over these images.
    """
    same = [
        float((network(images).argmax(1)[0].numpy() == class_map).mean())
        for (images, _), class_map in zip(validation.batches(network.genotype.resolution), maps, strict=False)
    ]
    return float(np.mean(same))


def check_agreements(found: Mapping[str, float], folder: Path) -> None:
    """Refuses an exported file that does not compute what its network computes.

    Args:
        found: The agreement (0..1) by the names of AGREEMENT_BOUNDS; without those of files that the network lacks.
        folder: The run folder.

    Raises:
        InputError: An agreement is below its bound. The message names the file.
    """
    for name, bound in AGREEMENT_BOUNDS.items():
        least = bound.minimum
        if bound.unless_ops_agree is not None and found["op_agreement_with_simulation"] >= EXACT_OPS:
            least = bound.unless_ops_agree
        if name in found and not found[name] >= least:
            raise InputError(
                f"{folder / bound.file}: gives {bound.gives} of {bound.against} on {found[name]:.4f} of {bound.of}, "
                f"less than {least:g}: the file is wrong; do not use it, run python -m compress.quantize and "
                "compress.export again, and report the genotype if it happens again"
            )
