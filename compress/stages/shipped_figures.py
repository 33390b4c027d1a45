"""Figures of the exported files that an app developer asks for: start, memory, sizes, and each class by itself."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from compress.evaluation.metrics import iou_per_class, share_per_class
from compress.stages.run import Run
from compress.stages.shipped_files import shipped_files
from search_spaces import costs
from search_spaces.network import Network

MAX_LISTED = 3  # names of classes in a line


def shipped_figures(run: Run, model: bytes, network: Network) -> dict[str, Any]:
    """Measures the start of model.tflite, and what it and the files beside it need.

    Args:
        run: A run whose files are exported.
        model: The bytes of model.tflite.
        network: The network that the file was made from.

    Returns:
        `cold_start_ms`: loading and the first run on the target, ms; absent where the target cannot time it.
        `arena_bytes`: int8 activations alive at once, the least any runtime's arena can hold.
        `file_bytes`: the size of each exported file.
    """
    start_ms = run.target.cold_start_ms(model)
    return {
        **({} if start_ms is None else {"cold_start_ms": start_ms}),
        "arena_bytes": costs.arena_bytes(network.graph),
        "file_bytes": {name: (run.path / name).stat().st_size for name in shipped_files(network.genotype.bands)},
    }


def class_figures(run: Run, counts: Tensor) -> dict[str, dict[str, float | None]]:
    """Lists what the validation split tells of each class.

    Args:
        run: The run.
        counts: Pixel counts classes,classes (truth, predicted) over the split.

    Returns:
        For each class by name `iou` (0..1; None where the class is neither in the truth nor predicted) and `share`
        (0..1) of the labelled pixels.
    """
    ious, shares = iou_per_class(counts).tolist(), share_per_class(counts).tolist()
    return {
        name: {"iou": iou if iou == iou else None, "share": share}  # NaN is not JSON
        for name, iou, share in zip(run.data.classes, ious, shares, strict=True)
    }


def mean_over(classes: Mapping[str, Mapping[str, float | None]]) -> str:
    """Says over which classes mIoU is the mean, where that is not plain.

    Args:
        classes: The `class_figures`.

    Returns:
        Words in brackets, with a blank before them, to stand behind an mIoU. They say how many classes have an IoU
        when some have none, and which have the IoU 0 because they were predicted where no mask has them. Nothing where
        all classes are in the masks.
    """
    counted = [name for name, figures in classes.items() if figures["iou"] is not None]
    stray = [name for name in counted if not classes[name]["share"]]
    words = [f"mean over {len(counted)} of {len(classes)} classes"] if len(counted) < len(classes) else []
    if stray:
        listed = ", ".join(stray[:MAX_LISTED]) + f" and {len(stray) - MAX_LISTED} more" * (len(stray) > MAX_LISTED)
        words.append(f"IoU 0 of {listed}: predicted, but in no validation mask")
    return f" ({'; '.join(words)})" if words else ""
