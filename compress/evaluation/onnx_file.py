"""The class maps of an .onnx file, as ONNX Runtime computes them."""

from itertools import islice
from pathlib import Path

import numpy as np
import onnxruntime

from compress.data.validation import Validation
from search_spaces.errors import InputError


def run_onnx(path: Path, resolution: tuple[int, int], validation: Validation, images: int) -> list[np.ndarray]:
    """Runs a file on the first images of a split.

    Args:
        path: The .onnx file.
        resolution: The height and width that it reads.
        validation: The split.
        images: How many images.

    Returns:
        The class map h,w of each image.

    Raises:
        InputError: ONNX Runtime cannot load or run the file.
    """
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        maps = []
        for pixels, _ in islice(validation.batches(resolution), images):
            (class_map,) = session.run(None, {"pixels": np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())})
            maps.append(np.asarray(class_map)[0].astype(np.uint8))  # not the eight bytes a pixel of an argmax
    except Exception as error:  # onnxruntime raises kinds of its own
        what = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: ONNX Runtime cannot run it ({what}); run python -m compress.export again") from error
    return maps
