"""The int8 .tflite file of a network, written from its op list in a fraction of a second, where conversion and
quantization take ten. A search scores candidates by running it: as they will run on the device, and faster than
torch runs them in float. What ships goes through the converter (`compress.quantize`).

Ranges are minima and maxima over calibration crops; the grid is the int8 specification's: symmetric per channel for
weights, asymmetric per value for activations, one range for what a concat or a resize ties
(ai.google.dev/edge/litert/models/quantization_spec).
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from compress.tflite.ranges import PIXELS, Ranges, tied, wide_enough
from compress.tflite.writer import Contents, write_tflite
from search_spaces.network import Network, fold_batch_norm, layer_name
from search_spaces.ops import ARGMAX, DEPTHWISE, INPUT


@torch.no_grad()
def observe_extremes(network: Network, batches: Iterable[Tensor]) -> Ranges:
    """Runs N,3,h,w batches through a network, in the mode it is in, and keeps each value's least and greatest."""
    seen: Ranges = {INPUT: PIXELS}
    for images in batches:
        values = {INPUT: images}
        for op in network.graph:
            if op.kind == ARGMAX:
                break
            value = values[op.name] = network.run(op, values)
            low, high = (float(bound) for bound in torch.aminmax(value))
            known = seen.get(op.name, (0.0, 0.0))  # zero is always on the grid
            seen[op.name] = (min(known[0], low), max(known[1], high))
    return tied(seen, network.graph)


def int8_file(network: Network, ranges: Ranges) -> bytes:
    """The file of a network in eval mode: 1,H,W,3 bytes less 128 in, 1,h,w class indices out."""
    folded = fold_batch_norm(network)
    weights = {}
    for op in folded.graph:
        if op.has_weights:
            prefix = f"layers.{layer_name(op.name)}.conv."
            kernel, bias = (folded.get_parameter(prefix + n).detach().cpu().numpy() for n in ("weight", "bias"))
            order = (1, 2, 3, 0) if op.kind == DEPTHWISE else (0, 2, 3, 1)  # 1,k,k,channels or out,k,k,in
            weights[op.name] = (np.ascontiguousarray(kernel.transpose(order)), bias)
    return write_tflite(folded.graph, Contents(weights, wide_enough(ranges, folded)))
