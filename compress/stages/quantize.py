"""The stage `quantize`: converts the distilled network to TFLite and quantizes it to int8 with real images.

It leaves RUN/quantize/model.float.tflite and model.tflite. Their mIoU and latency are those of the files as LiteRT runs
them. network.pt is the float network that the int8 file was made from: the distilled one, or with --qat-steps that one
trained on with int8 simulated.

Every op of the int8 file is int8, or the stage fails and names the op. When int8 costs more than --max-drop, the layers
that it hurts most run in float, one at a time, and each is listed with what it costs.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from compress.data.calibration import TRAIN, VALIDATION, calibration_images
from compress.evaluation.metrics import mean_iou
from compress.evaluation.tflite_file import evaluate_tflite
from compress.files.atomic import write_atomically
from compress.files.tensors import save_network
from compress.stages.fitting import CHECKPOINT
from compress.stages.int8_training import train_in_int8
from compress.stages.options import QuantizeOptions
from compress.stages.private_record import trained_on_own_data
from compress.stages.records import cost_metrics, write_metrics
from compress.stages.run import METRICS, Run
from compress.tflite.conversion import write_float_tflite
from compress.tflite.fallback import FallbackResult, FileFigures, QuantizationSource, RunFile, fall_back
from compress.tflite.flatbuffer import read_tflite
from compress.tflite.int8_grids import ValueRanges
from compress.tflite.ranges import observe_ranges
from search_spaces.network import Network

RANKING_IMAGES = 2
FLOAT_FILE, TRAINED_FLOAT_FILE = "model.float.tflite", "trained.float.tflite"


@dataclass(frozen=True)
class FloatFigures(FileFigures):
    """The float file as it ran. Its latency is infinite where the target runs no float ops, and is then not recorded.

    Attributes:
        size_bytes: The size of the file.
    """

    size_bytes: int = 0


def quantize(
    run: Run,
    ranges: str = QuantizeOptions.ranges,
    qat_steps: int = QuantizeOptions.qat_steps,
    max_drop: float = QuantizeOptions.max_drop,
    calibration: str = "",
) -> None:
    """Runs the stage on a run folder whose distilled network is there.

    Args:
        run: The run.
        ranges: The range estimator, one of `compress.tflite.ranges.ESTIMATORS`.
        qat_steps: Training steps with int8 simulated; 0 for none.
        max_drop: The mIoU (0..1) that int8 may cost before layers run in float.
        calibration: The split whose images ranges are estimated from; empty for `train`, or `val` after a private
            training on the run's own images.

    Raises:
        InputError: A flag is out of range, or an op that should be int8 is not.
    """
    QuantizeOptions(ranges, qat_steps, max_drop, calibration)  # refuses values out of range
    begun = time.monotonic()
    folder = run.path / "quantize"
    (folder / METRICS).unlink(missing_ok=True)  # from here on the folder is half-written
    network = run.network("distill").to(run.device)
    calibration = calibration or (VALIDATION if trained_on_own_data(run) else TRAIN)
    sources = open_sources(run, network, ranges, qat_steps, folder, calibration)
    in_float = run_float_file(run, sources[0])
    best, all_int8_miou = best_int8(run, sources, in_float.miou - max_drop)
    if best.file.miou < in_float.miou - max_drop:
        print(
            f"quantize: int8 costs {in_float.miou - best.file.miou:.4f} mIoU, more than --max-drop {max_drop:g}; "
            "train in int8 with (more) --qat-steps"
        )
    save_network(best.source.network.cpu(), folder / "network.pt")
    write_atomically(run.made("quantize"), best.file.content)
    metrics = {
        **file_metrics(run, network, best, begun),
        **{f"float_{name}": value for name, value in vars(in_float).items() if name != "busy" and value != math.inf},
        **busy_mark(in_float, best.file),
        "estimator": ranges,
        "qat_steps": qat_steps,
        "max_drop": max_drop,
        "calibration": calibration,
        "all_int8_miou": all_int8_miou,
        **fallback_metrics(best),
    }
    write_metrics(run, "quantize", metrics, folder)
    for leftover in (folder / CHECKPOINT, folder / TRAINED_FLOAT_FILE):
        leftover.unlink(missing_ok=True)


def open_sources(
    run: Run, network: Network, estimator: str, qat_steps: int, folder: Path, calibration: str = TRAIN
) -> list[QuantizationSource]:
    """Makes what int8 files can be made from.

    Args:
        run: The run.
        network: The distilled network, on the run's device.
        estimator: The range estimator.
        qat_steps: Training steps with int8 simulated; 0 for none.
        folder: The folder of the float files.
        calibration: The split of the calibration images.

    Returns:
        The source from the distilled network; with `qat_steps` also that from the network trained in int8.
    """
    images = calibration_images(run.data, network.genotype.resolution, run.device, calibration)
    pairs = [(network, observe_ranges(network, images, estimator))]
    if qat_steps:  # before anything is converted: the converter starts threads, and loading crops forks
        pairs.append(train_in_int8(run, *pairs[0], qat_steps, folder))
    files = (folder / FLOAT_FILE, folder / TRAINED_FLOAT_FILE)
    return [convert_source(*pair, file, images) for pair, file in zip(pairs, files, strict=False)]


def convert_source(network: Network, ranges: ValueRanges, path: Path, images: Sequence[Tensor]) -> QuantizationSource:
    """Writes the float file of a network.

    Args:
        network: The network. It comes back on the device it was on.
        ranges: The range of each value.
        path: The float file to write.
        images: Calibration images 1,bands,h,w in 0..1; the first few rank the layers.

    Returns:
        What int8 files are made from.
    """
    device = next(network.parameters()).device
    write_float_tflite(network.cpu(), path, path.with_name("convert.log"))
    return QuantizationSource(network.to(device), path, ranges, images[:RANKING_IMAGES])


def file_runner(run: Run, network: Network, title: str) -> RunFile:
    """What runs a file of a network on the validation split and on the target.

    Args:
        run: The run.
        network: The network of the file.
        title: What the progress bar says.

    Returns:
        A function that runs the bytes of a .tflite file.
    """

    def run_file(content: bytes) -> FileFigures:
        latency = run.target.measure([content])[0]
        return FileFigures(miou_of(run, network, content, title), latency.ms, latency.busy)

    return run_file


def miou_of(run: Run, network: Network, content: bytes, title: str) -> float:
    """Runs a file of a network on the validation split.

    Args:
        run: The run.
        network: The network of the file.
        content: The bytes of the .tflite file.
        title: What the progress bar says.

    Returns:
        Its mIoU (0..1).
    """
    return mean_iou(evaluate_tflite(content, network, run.validation, title)[0])


def run_float_file(run: Run, source: QuantizationSource) -> FloatFigures:
    """Runs the float file of a source.

    Args:
        run: The run.
        source: The source.

    Returns:
        Its figures.
    """
    content = read_tflite(source.float_file)
    if not run.target.runs_float:
        miou = miou_of(run, source.network, content, "float: validation")
        return FloatFigures(miou, math.inf, size_bytes=len(content))
    figures = file_runner(run, source.network, "float: validation")(content)
    return FloatFigures(**vars(figures), size_bytes=len(content))


def best_int8(run: Run, sources: Sequence[QuantizationSource], min_miou: float) -> tuple[FallbackResult, list[float]]:
    """Makes the int8 file of each source and takes the best, with layers in float when none is good enough.

    Args:
        run: The run.
        sources: What int8 files can be made from.
        min_miou: The mIoU (0..1) to reach.

    Returns:
        The best file with how it was made, and the mIoU of each source's file that is int8 throughout.
    """
    runners = [file_runner(run, source.network, "quantize: validation") for source in sources]
    files = [source.quantized(run_file) for source, run_file in zip(sources, runners, strict=True)]
    enough = any(file.miou >= min_miou for file in files) or not run.target.runs_float  # nothing to fall back to
    goal = 0.0 if enough else min_miou
    bound_ms = run.config.pruned_ms  # a later sitting may measure some percent more
    results = [
        fall_back(source, file, goal, bound_ms, run_file)
        for source, file, run_file in zip(sources, files, runners, strict=True)
    ]
    # enough accuracy first, then the fewest ops in float
    best = max(results, key=lambda of: (min(of.file.miou, min_miou), -len(of.file.float_ops), of.file.miou))
    return best, [file.miou for file in files]


def file_metrics(run: Run, network: Network, best: FallbackResult, begun: float) -> dict[str, Any]:
    """The figures that every stage records, for the int8 file.

    Args:
        run: The run.
        network: The distilled network.
        best: The int8 file.
        begun: When the stage began, of `time.monotonic`.

    Returns:
        Entries of metrics.json.
    """
    return {
        "miou": best.file.miou,
        "latency_ms": best.file.latency_ms,
        **cost_metrics(run, network),
        "size_bytes": len(best.file.content),
        "wall_s": time.monotonic() - begun,
    }


def busy_mark(in_float: FloatFigures, in_int8: FileFigures) -> dict[str, str]:
    """Marks latencies that were measured on a busy machine, as the records of the other stages do.

    Args:
        in_float: The float file as it ran.
        in_int8: The int8 file as it ran.

    Returns:
        Entries of metrics.json: why each latency is not to be trusted; nothing where the target was quiet.
    """
    marks = {"busy": in_int8.busy, "float_busy": in_float.busy}
    return {name: why for name, why in marks.items() if why}


def fallback_metrics(best: FallbackResult) -> dict[str, Any]:
    """How the int8 file was made.

    Args:
        best: The int8 file.

    Returns:
        Entries of metrics.json.
    """
    names = best.source.tensor_names
    return {
        "ranges": best.source.ranges,
        "logits_error_without": best.ranking,
        "fallbacks": best.steps,
        "float_ops": {op: names[op] for op in sorted(best.file.float_ops)},
    }
