"""The stage `export`: puts model.tflite, its variants for other runtimes and model.json into RUN and verifies them."""

import statistics
import time
from typing import Any

import numpy as np

from compress.data.dataset import DataSet
from compress.data.pixels import Pixels
from compress.files.atomic import write_atomically
from compress.files.records import write_json
from compress.latency.timing import load
from compress.stages.private_record import PRIVACY_KEY, privacy_card
from compress.stages.records import cost_metrics, write_metrics
from compress.stages.run import Run
from compress.stages.shipped_files import FILES, LOGITS_FILES, shipped_files
from compress.stages.variants import write_variants
from compress.stages.verify import verify
from compress.tflite.flatbuffer import read_tflite
from search_spaces.ops import RGB_BANDS


def export(run: Run) -> None:
    """Runs the stage on a run folder whose quantized files are there.

    Args:
        run: The run.

    Raises:
        InputError: An exported file does not agree with its network (`compress.evaluation.agreement`).
    """
    begun = time.monotonic()
    folder = run.path / "export"
    again = f"run python -m compress.quantize {run.path} again"
    model = read_tflite(run.made("quantize"), again)
    for path in (run.made("export"), run.path / "model.tflite"):
        write_atomically(path, model)
    write_atomically(run.path / "model.float.tflite", read_tflite(run.path / "quantize" / "model.float.tflite", again))
    write_variants(run, model, folder / "convert.log")
    write_json(run.path / "model.json", model_card(run, model))
    found = verify(run)
    metrics = {**found, **cost_metrics(run, run.network("distill")), "wall_s": time.monotonic() - begun}
    write_metrics(run, "export", metrics, folder)


def model_card(run: Run, model: bytes) -> dict[str, Any]:
    """What an app needs to run model.tflite and to read its output.

    Args:
        run: The run, quantized.
        model: The bytes of the int8 .tflite file.

    Returns:
        The content of model.json: the input (shape, type, quantization, how an image becomes it), the output (shape,
        type, form, stride), the ops in float, the other files, the classes with their colours, the genotype; after a
        private training what it promised and spent.
    """
    interpreter = load(model, 1)
    (reads,), (makes,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = reads["quantization"]
    _, height, width, bands = (int(side) for side in reads["shape"])
    genotype = run.network("distill").genotype
    quantized = run.metrics("quantize")
    files = {**FILES, **LOGITS_FILES} if genotype.logits else FILES
    private = privacy_card(run)
    return {
        "input": {
            "shape": [1, height, width, bands],
            "layout": "N,H,W,C",
            "channels": channels_of(run.data.pixels),
            "bands": run.data.pixels.to_dict(),
            "type": np.dtype(reads["dtype"]).name,
            "quantization": {"scale": float(scale), "zero_point": int(zero)},
            "from_bytes": "pixel byte (0..255) minus 128; `bands` says how deeper images become bytes",
            "scene_tile": scene_tile(run.data),
            "resize": "bilinear with antialiasing from the image to height x width",
        },
        "output": {
            "shape": [int(side) for side in makes["shape"]],
            **output_form(genotype.logits, makes["quantization"]),
            "type": np.dtype(makes["dtype"]).name,
            "stride": genotype.head_stride,
        },
        "float_ops": sorted(quantized["float_ops"]),
        "files": {name: form for name, form in files.items() if name in shipped_files(bands)},
        "classes": list(run.data.classes),
        "colours": [list(colour) for colour in run.data.colours],
        "genotype": genotype.to_dict(),
        **({} if private is None else {PRIVACY_KEY: private}),
    }


def channels_of(pixels: Pixels) -> str | list[str]:
    """What the channels of the input are.

    Args:
        pixels: How images become bytes.

    Returns:
        `RGB` for three channels without names; otherwise the name or the number of each band, in order.
    """
    if not pixels.names and len(pixels.bands) == RGB_BANDS:
        return "RGB"
    return list(pixels.names) or [f"band {band + 1}" for band in pixels.bands]


def scene_tile(data: DataSet) -> list[int]:
    """The part of a scene that a network sees as it saw an image in training.

    Args:
        data: The data set that it was trained on.

    Returns:
        Height and width in pixels of the scene: the medians over the training images, or the size of the tiles where
        these are scenes.
    """
    heights, widths = zip(*data.statistics["train"].sizes, strict=True)
    return [int(statistics.median_low(sides)) for sides in (heights, widths)]


def output_form(logits: bool, quantization: tuple[float, int]) -> dict[str, Any]:
    """How an app reads the output of model.tflite.

    Args:
        logits: Whether the file ends in logits.
        quantization: Scale and zero point of its output.

    Returns:
        The layout and the form; of logits the quantization too.
    """
    if not logits:
        return {"layout": "N,H,W", "form": "class index of each pixel (argmax inside); enlarge by nearest neighbour"}
    scale, zero = quantization
    return {
        "layout": "N,H,W,C",
        "form": "int8 logits (no argmax inside): a pixel's class is the index of its greatest value",
        "quantization": {"scale": float(scale), "zero_point": int(zero)},
    }
