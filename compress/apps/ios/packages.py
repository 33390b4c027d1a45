"""Core ML packages of a network (coremltools, Apple): float16, int8 weights, int8 weights and values."""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compress.files.native_output import output_to
from compress.prediction.card import ModelCard
from compress.tflite.qdq_network import QDQNetwork
from search_spaces.errors import InputError
from search_spaces.network import Network, fold_batch_norm

FLOAT16, INT8_WEIGHTS, INT8 = "model.mlpackage", "model.w8.mlpackage", "model.w8a8.mlpackage"
EXTRA = 'pip install "slimlab[ios]"'


class ClassMap(torch.nn.Module):
    """Ends a network in the class index of each pixel."""

    def __init__(self, network: Network) -> None:
        """Takes the network as it is.

        Args:
            network: with batch norms or without.
        """
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Segments images.

        Args:
            image: N,3,h,w in 0..1.

        Returns:
            Class indices N,h',w' (int32).
        """
        found: Tensor = self.network(image).argmax(1).to(torch.int32)
        return found


def import_coremltools() -> Any:
    """Imports coremltools without what it says about other packages' versions.

    Returns:
        The module.

    Raises:
        InputError: it is not installed.
    """
    logging.getLogger("coremltools").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import coremltools
        except ImportError as error:
            raise InputError(f"compress.ios needs the package coremltools; {EXTRA}") from error
    return coremltools


def write_packages(network: Network, int8_network: QDQNetwork, card: ModelCard, folder: Path, log: Path) -> list[Path]:
    """Converts a network and saves its three packages.

    Args:
        network: the float network that the int8 .tflite file was made from.
        int8_network: the network of the int8 .tflite file, with quantize and dequantize ops.
        card: has the resolution, names and colours.
        folder: for the packages.
        log: where the converter's own output goes.

    Returns:
        The packages, in the order of `FLOAT16, INT8_WEIGHTS, INT8`.

    Raises:
        InputError: coremltools is not installed.
    """
    with output_to(log), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        coremltools = import_coremltools()
        float16 = convert(coremltools, ClassMap(fold_batch_norm(network)), card)
        weights = convert(coremltools, ClassMap(int8_network.with_float_values()), card)
        int8 = convert(coremltools, ClassMap(int8_network), card)
        made = []
        for model, name in ((float16, FLOAT16), (weights, INT8_WEIGHTS), (int8, INT8)):
            model.save(str(folder / name))
            made.append(folder / name)
    return made


def convert(coremltools: Any, module: torch.nn.Module, card: ModelCard) -> Any:
    """Converts a module to an ML program of iOS 17.

    Args:
        coremltools: the package.
        module: images 1,3,h,w in 0..1 to class indices 1,h',w'.
        card: has the resolution, names and colours.

    Returns:
        The `MLModel`; it takes an RGB picture and gives `classes`.
    """
    shape = (1, 3, *card.resolution)
    program = torch.export.export(module.eval(), (torch.rand(shape),)).run_decompositions({})
    image = coremltools.ImageType(name="image", shape=shape, scale=1 / 255, color_layout=coremltools.colorlayout.RGB)
    model = coremltools.convert(
        program,
        inputs=[image],
        outputs=[coremltools.TensorType(name="classes")],
        convert_to="mlprogram",
        minimum_deployment_target=coremltools.target.iOS17,
        skip_model_load=True,
    )
    model.short_description = f"Semantic segmentation of {len(card.classes)} classes"
    model.author = "SlimLab"
    colours = [f"#{red:02X}{green:02X}{blue:02X}" for red, green, blue in card.colours]
    parameters = {"labels": list(card.classes), "colors": colours}
    model.user_defined_metadata["com.apple.coreml.model.preview.type"] = "imageSegmenter"
    model.user_defined_metadata["com.apple.coreml.model.preview.parameters"] = json.dumps(parameters)
    return model
