"""The int8 .tflite file of a network, written from its op list in a fraction of a second.

Conversion and quantization take ten seconds. A search scores candidates by running this file instead: it computes what
the shipped file will, and LiteRT runs it faster than torch runs the float network. What ships goes through the
converter (`compress.tflite.conversion`, `compress.tflite.quantization`).
"""

import numpy as np
import torch

from compress.tflite.int8_grids import ValueRanges, widen_narrow_ranges
from compress.tflite.writer import Int8Contents, write_tflite
from search_spaces.network import Network, fold_batch_norm, layer_name


@torch.no_grad()
def int8_file(network: Network, ranges: ValueRanges) -> bytes:
    """Writes the int8 file of a network.

    Args:
        network: The network; its batch norm is folded as in eval mode.
        ranges: The range of each value before the argmax (`compress.tflite.ranges.observe_extremes`).

    Returns:
        The bytes of the .tflite file. It reads 1,H,W,bands bytes minus 128 and makes 1,h,w class indices.
    """
    folded = fold_batch_norm(network)
    weights: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for op in folded.graph:
        if op.has_weights:
            prefix = f"layers.{layer_name(op.name)}.conv."
            weight, bias = (folded.get_parameter(prefix + n).detach().cpu().numpy() for n in ("weight", "bias"))
            weights[op.name] = (weight, bias)
    return write_tflite(folded.graph, Int8Contents(weights, widen_narrow_ranges(ranges, folded)))
