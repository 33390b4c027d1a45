"""Writes the packages and the SwiftUI sample, and checks what each package computes."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import torch

from compress.apps.ios.mil import MilProgram
from compress.apps.ios.packages import INT8, write_packages
from compress.files.atomic import make_folder
from compress.prediction.card import ModelCard
from compress.prediction.segmenter import Segmenter
from compress.tflite.qdq_network import QDQNetwork
from search_spaces.errors import InputError
from search_spaces.network import Network

MIN_AGREEMENT = 0.98  # share of the pixels; the packages differ by float16, by int8 weights, and by float biases
IN_INT8, IN_FLOAT = "model.tflite", "the float network"


@dataclass(frozen=True)
class Package:
    """A package as it was checked.

    Attributes:
        name: of the folder.
        size_bytes: of all its files.
        reference: what it is compared with: model.tflite for the int8 package, the float network for the others.
        agreement: share of the pixels with the same class as the reference gives.
    """

    name: str
    size_bytes: int
    reference: str
    agreement: float


def build_ios(
    network: Network, int8_network: QDQNetwork, segmenter: Segmenter, images: Sequence[np.ndarray], out: Path
) -> list[Package]:
    """Writes packages and sample, and checks the packages.

    Args:
        network: the float network that the int8 .tflite file was made from.
        int8_network: the network of the int8 file, with quantize and dequantize ops.
        segmenter: the int8 file with its card.
        images: to check on, each h,w,3 bytes, RGB, of the model's resolution.
        out: the folder; one that is there must be empty.

    Returns:
        The packages.

    Raises:
        InputError: coremltools is not installed, `out` is not empty or cannot be written, or a package disagrees with
            what it is compared with.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: is there already; choose another folder")
    found: list[Package] = []
    expected = {
        IN_INT8: [segmenter.small_class_map(image) for image in images],
        IN_FLOAT: [float_class_map(network, image) for image in images],
    }

    def fill(folder: Path) -> None:
        made = write_packages(network, int8_network, segmenter.card, folder, folder / "convert.log")
        for package in made:
            reference = IN_INT8 if package.name == INT8 else IN_FLOAT
            found.append(check_package(package, images, expected[reference], reference))
        with as_file(files("compress.apps.ios") / "sample") as sample:
            shutil.copytree(sample, folder / "sample")
        names = folder / "sample" / "Classes.swift"
        names.write_text(names.read_text().replace("@CLASSES@", swift_classes(segmenter.card)))

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.exists():
            out.rmdir()
        make_folder(out, fill)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror}); choose another folder") from error
    return found


@torch.inference_mode()
def float_class_map(network: Network, image: np.ndarray) -> np.ndarray:
    """The classes that the float network gives.

    Args:
        network: the network.
        image: h,w,3 bytes, RGB, of the network's resolution.

    Returns:
        Class indices h',w'.
    """
    pixels = torch.from_numpy(image.transpose(2, 0, 1)[None]).float() / 255
    found: np.ndarray = network.eval()(pixels).argmax(1)[0].numpy()
    return found


def check_package(
    package: Path, images: Sequence[np.ndarray], expected: Sequence[np.ndarray], reference: str
) -> Package:
    """Compares a package with what it was made from.

    Args:
        package: the .mlpackage folder.
        images: to compare on, each h,w,3 bytes, RGB, of the model's resolution.
        expected: the class map h',w' of each image.
        reference: what gave these class maps.

    Returns:
        Its size and its agreement.

    Raises:
        InputError: they agree on fewer pixels than `MIN_AGREEMENT`.
    """
    program = MilProgram(package)
    same = [np.mean(program.class_map(image) == classes) for image, classes in zip(images, expected, strict=True)]
    agreement = float(np.mean(same))
    if agreement < MIN_AGREEMENT:
        raise InputError(
            f"{package.name}: agrees with {reference} on {agreement:.4f} of the pixels, less than {MIN_AGREEMENT}; "
            "report this genotype"
        )
    size = sum(path.stat().st_size for path in package.rglob("*") if path.is_file())
    return Package(package.name, size, reference, agreement)


def swift_classes(card: ModelCard) -> str:
    """Writes the classes as Swift.

    Args:
        card: has names and colours.

    Returns:
        A line for each class.
    """
    return "\n".join(
        f"    SegmentationClass(name: {swift_string(name)}, red: {red}, green: {green}, blue: {blue}),"
        for name, (red, green, blue) in zip(card.classes, card.colours, strict=True)
    )


def swift_string(text: str) -> str:
    """Writes a text as a Swift string.

    Args:
        text: any text.

    Returns:
        The literal with its quotes.
    """
    escaped = re.sub(r'(["\\])', r"\\\1", text)
    return '"' + "".join(c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in escaped) + '"'
