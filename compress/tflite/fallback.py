"""Which layers int8 hurts most, and letting them run in float one at a time until the accuracy is back.

The unit is a value: it is float when the op that makes it and those that read it are, concats and resizes aside. The
ranking is by simulation (`compress.tflite.simulated_int8`), the decision by running each file, as in NNCF's
accuracy control.
int16 activations are no alternative on XNNPACK: it does not take them, and one such convolution doubled the latency of
a whole network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from compress.evaluation.evaluate import evaluate_tflite
from compress.evaluation.metrics import mean_iou
from compress.stages.run import Run
from compress.tflite.conversion import int8_tflite
from compress.tflite.ranges import Ranges
from compress.tflite.reader import check_all_int8, tensor_names
from compress.tflite.simulated_int8 import FakeQuantized, fake_quantize
from search_spaces.network import Network
from search_spaces.ops import ADD, CONV, DEPTHWISE, MEAN, MUL, SIGMOID, Graph

KINDS = (CONV, DEPTHWISE, ADD, MUL, SIGMOID, MEAN)
MOST = 6  # layers tried


@dataclass(frozen=True)
class Int8File:
    """A quantized file as run by LiteRT: mIoU on the validation split, median ms on the target, the ops in float."""

    content: bytes
    miou: float
    latency_ms: float
    floats: frozenset[str]


@dataclass(frozen=True)
class Source:
    """What int8 files are made from: a float network, the float file converted from it, the range of each value; and
    1,3,h,w images to rank its layers on."""

    network: Network
    file: Path
    ranges: Ranges
    images: Sequence[Tensor]

    @property
    def names(self) -> dict[str, str]:
        """The tensor in the file of each value."""
        return tensor_names(self.file.read_bytes(), self.network.graph)

    def simulated(self) -> FakeQuantized:
        return fake_quantize(self.network, self.ranges)

    def int8(self, run: Run, floats: frozenset[str] = frozenset()) -> Int8File:
        """Quantized, checked op by op, run and timed. Raises InputError that names an op that should be int8."""
        names = self.names
        ranges = {names[value]: found for value, found in self.ranges.items()}
        kept = [names[op] for op in floats]
        content = int8_tflite(self.file, ranges, self.file.with_name("convert.log"), kept)
        check_all_int8(content, kept)
        with tqdm(total=len(run.validation), desc="quantize: validation", unit="image", dynamic_ncols=True) as bar:
            counts, _ = evaluate_tflite(content, self.network, run.validation, bar)
        return Int8File(content, mean_iou(counts), run.target.measure([content])[0].ms, floats)


def unit(graph: Graph, value: str) -> frozenset[str]:
    """The ops that must be float for a value to be."""
    return frozenset({value, *(op.name for op in graph if value in op.inputs and op.kind in KINDS)})


@torch.inference_mode()
def logits_error(source: Source, simulated: FakeQuantized) -> float:
    """Power of the int8 error in the logits over that of the logits themselves."""
    noise = signal = 0.0
    for images in source.images:
        logits = source.network(images)
        noise += float((simulated(images) - logits).square().sum())
        signal += float((logits - logits.mean((0, 2, 3), keepdim=True)).square().sum())
    return noise / max(signal, 1e-30)


def rank(source: Source, floats: frozenset[str] = frozenset()) -> dict[str, float]:
    """Values not yet float and the error of the logits that is left without their int8, the worst value (least left)
    first."""
    graph = source.network.graph
    units = {op.name: unit(graph, op.name) for op in graph if op.kind in KINDS}
    bar = tqdm(
        [value for value in units if not units[value] <= floats],
        desc="quantize: layers",
        unit="layer",
        dynamic_ncols=True,
    )
    simulated, left = source.simulated(), {}
    for value in bar:
        simulated.floats = floats | units[value]
        left[value] = logits_error(source, simulated)
    return dict(sorted(left.items(), key=lambda item: item[1]))


@dataclass(frozen=True)
class Fallback:
    """How a source became the int8 file `made`: the first ranking of values, what each layer tried brought and cost."""

    source: Source
    made: Int8File
    ranking: dict[str, float]
    steps: list[dict[str, Any]]


def fall_back(run: Run, source: Source, made: Int8File, least_miou: float) -> Fallback:
    """The int8 file; while its mIoU is below `least_miou`, with another layer in float, worst first, MOST tried. A
    layer that brings nothing or breaks the budget goes back to int8."""
    left = ranking = rank(source)
    steps: list[dict[str, Any]] = []
    while made.miou < least_miou and len(steps) < MOST and left:
        value = next(iter(left))
        other = source.int8(run, made.floats | unit(source.network.graph, value))
        kept = other.miou > made.miou and other.latency_ms <= run.config.budget_ms
        gain, cost = other.miou - made.miou, other.latency_ms - made.latency_ms
        print(f"quantize: {value} in float: mIoU {gain:+.4f}, {cost:+.2f} ms" + ("" if kept else "; back to int8"))
        steps.append({"layer": value, "miou": other.miou, "latency_ms": other.latency_ms, "kept": kept})
        if kept:
            made, left = other, rank(source, other.floats)
        left = {name: error for name, error in left.items() if name not in [step["layer"] for step in steps]}
    return Fallback(source, made, ranking, steps)
