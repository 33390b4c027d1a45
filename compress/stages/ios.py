"""The Core ML packages of a finished run."""

from itertools import islice
from pathlib import Path

from compress.apps.ios.build import build_ios
from compress.files.tensors import load_network
from compress.prediction.card import require_rgb
from compress.prediction.segmenter import open_segmenter
from compress.stages.records import require
from compress.stages.run import open_run
from compress.stages.variants import int8_network
from search_spaces.errors import InputError


def ios(path: Path, out: Path, images: int) -> None:
    """Writes and checks the packages of a run and prints a line for each.

    Args:
        path: the run folder.
        out: folder of packages and sample.
        images: number of validation images to check on.

    Raises:
        InputError: the run is not exported, its network takes other bands than a camera gives, a package disagrees with
            what it was made from, or `out` cannot be written.
    """
    if images < 1:
        raise InputError(f"--images {images}: give a positive number")
    run = open_run(path)
    require(run, "export")
    segmenter = open_segmenter(path)
    require_rgb(segmenter.card, path, "an image input of Core ML")
    network = load_network(path / "quantize" / "network.pt")
    in_int8 = int8_network(run, for_onnx=False)
    pixels = run.validation.pixels(network.genotype.resolution)
    checked = [(image.astype("int16") + 128).astype("uint8") for image in islice(pixels, images)]
    for package in build_ios(network, in_int8, segmenter, checked, out):
        found = f"{package.agreement:.4f} of the pixels as {package.reference}"
        print(f"{out / package.name}: {package.size_bytes / 1024:.0f} KiB, {found}")
