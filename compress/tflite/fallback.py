"""Finds the layers that int8 hurts most, and lets them run in float, one at a time, until the accuracy is back.

A value is float when the op that makes it and the ops that read it are float; concats and resizes stay int8. Values are
ranked with simulated int8 (`compress.tflite.simulated_int8`). Each layer is then decided by running the file, as in
NNCF's accuracy control. int16 activations are no alternative on XNNPACK: it does not take them, and one such
convolution doubled the latency of a whole network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from compress.tflite.int8_grids import ValueRanges
from compress.tflite.op_codes import FLOAT_FALLBACK_KINDS
from compress.tflite.quantization import int8_tflite
from compress.tflite.reader import check_all_int8, tensor_names
from compress.tflite.simulated_int8 import FakeQuantized, fake_quantize
from search_spaces.network import Network
from search_spaces.ops import INPUT, Graph

MAX_FALLBACK_LAYERS = 6  # layers tried


@dataclass(frozen=True)
class FileFigures:
    """How a file ran.

    Attributes:
        miou: mIoU (0..1) on the validation split.
        latency_ms: Median latency on the target.
        busy: Why the latency is not to be trusted; "" where the target was quiet.
    """

    miou: float
    latency_ms: float
    busy: str = ""


RunFile = Callable[[bytes], FileFigures]  # runs a .tflite file


@dataclass(frozen=True)
class QuantizedFile(FileFigures):
    """An int8 file and how it ran.

    Attributes:
        content: The bytes of the .tflite file.
        float_ops: The ops that run in float.
    """

    content: bytes = b""
    float_ops: frozenset[str] = frozenset()


@dataclass(frozen=True)
class QuantizationSource:
    """What int8 files are made from.

    Attributes:
        network: The float network.
        float_file: The float .tflite file converted from it.
        ranges: The range of each value.
        images: Images 1,bands,h,w in 0..1 to rank the layers on.
    """

    network: Network
    float_file: Path
    ranges: ValueRanges
    images: Sequence[Tensor]

    @property
    def tensor_names(self) -> dict[str, str]:
        """The tensor in the file of each value."""
        return tensor_names(self.float_file.read_bytes(), self.network.graph)

    def simulated(self) -> FakeQuantized:
        """The network with int8 simulated.

        Returns:
            A network with the same input and output.
        """
        return fake_quantize(self.network, self.ranges)

    def quantized(self, run_file: RunFile, float_ops: frozenset[str] = frozenset()) -> QuantizedFile:
        """Makes an int8 file, checks each of its ops and runs it.

        Args:
            run_file: Runs a file.
            float_ops: The ops that stay in float.

        Returns:
            The file and how it ran.

        Raises:
            InputError: An op that should be int8 is not. The message names it.
        """
        names = self.tensor_names
        ranges = {names[value]: found for value, found in self.ranges.items()}
        float_tensors = [names[op] for op in float_ops]
        content = int8_tflite(self.float_file, ranges, self.float_file.with_name("convert.log"), float_tensors)
        check_all_int8(content, float_tensors)
        return QuantizedFile(**vars(run_file(content)), content=content, float_ops=float_ops)


def float_ops_for(graph: Graph, value: str) -> frozenset[str]:
    """The ops that must be float for a value to be float.

    Args:
        graph: The op list of the network.
        value: The name of the value.

    Returns:
        The op that makes it, and those of its readers that can be float.
    """
    return frozenset({value, *(op.name for op in graph if value in op.inputs and op.kind in FLOAT_FALLBACK_KINDS)})


def made_from(graph: Graph, ops: frozenset[str]) -> frozenset[str]:
    """The ops whose output depends on how some ops run.

    Args:
        graph: The op list of the network.
        ops: The names of some ops.

    Returns:
        These ops and all that their outputs lead to.
    """
    found = set(ops)
    for op in graph:
        if not found.isdisjoint(op.inputs):
            found.add(op.name)
    return frozenset(found)


def logits_error(simulated: Sequence[Tensor], logits: Sequence[Tensor]) -> float:
    """How much int8 changes the logits.

    Args:
        simulated: Logits N,classes,h,w with int8 simulated.
        logits: The logits of the same images in float.

    Returns:
        The power of the error in the logits over the power of the logits themselves.
    """
    noise = sum(float((ours - exact).square().sum()) for ours, exact in zip(simulated, logits, strict=True))
    signal = sum(float((exact - exact.mean((0, 2, 3), keepdim=True)).square().sum()) for exact in logits)
    return noise / max(signal, 1e-30)


@torch.inference_mode()
def rank_layers(source: QuantizationSource, float_ops: frozenset[str] = frozenset()) -> dict[str, float]:
    """Ranks the values by what remains of the logits' error when each of them is float.

    Args:
        source: The network, its ranges and images.
        float_ops: The ops that are float already.

    Returns:
        The remaining error by value, the value that int8 hurts most first. Values that are float already are left out.
    """
    graph = source.network.graph
    groups = {op.name: float_ops_for(graph, op.name) for op in graph if op.kind in FLOAT_FALLBACK_KINDS}
    bar = tqdm(
        [value for value in groups if not groups[value] <= float_ops],
        desc="quantize: layers",
        unit="layer",
        dynamic_ncols=True,
    )
    simulated, remaining = source.simulated(), {}
    simulated.float_ops = float_ops
    logits = [source.network(images) for images in source.images]
    before = [simulated.completed({INPUT: simulated.on_grid(INPUT, images)}) for images in source.images]
    for value in bar:
        simulated.float_ops = float_ops | groups[value]
        changed = made_from(graph, groups[value])
        # what the value does not lead to is as it was
        known = [{name: one for name, one in values.items() if name not in changed} for values in before]
        found = [simulated.completed(values)[simulated.logits] for values in known]
        remaining[value] = logits_error(found, logits)
    return dict(sorted(remaining.items(), key=lambda item: item[1]))


@dataclass(frozen=True)
class FallbackResult:
    """How a source became an int8 file.

    Attributes:
        source: What the file was made from.
        file: The file that was kept.
        ranking: The first ranking of values (`rank_layers`).
        steps: For each layer tried, its mIoU, its latency in ms and whether it was kept in float.
    """

    source: QuantizationSource
    file: QuantizedFile
    ranking: dict[str, float]
    steps: list[dict[str, Any]]


def fall_back(
    source: QuantizationSource, file: QuantizedFile, min_miou: float, bound_ms: float, run_file: RunFile
) -> FallbackResult:
    """Puts layers in float while the mIoU is too low, the worst first, at most MAX_FALLBACK_LAYERS of them.

    A layer that brings nothing, or that makes the file too slow, goes back to int8.

    Args:
        source: What the files are made from.
        file: The file that is int8 throughout.
        min_miou: The mIoU (0..1) to reach.
        bound_ms: The latency that no file may exceed.
        run_file: Runs a file.

    Returns:
        The best file found, and what was tried.
    """
    remaining = ranking = rank_layers(source)
    steps: list[dict[str, Any]] = []
    while file.miou < min_miou and len(steps) < MAX_FALLBACK_LAYERS and remaining:
        value = next(iter(remaining))
        other = source.quantized(run_file, file.float_ops | float_ops_for(source.network.graph, value))
        kept = other.miou > file.miou and other.latency_ms <= bound_ms
        gain, cost = other.miou - file.miou, other.latency_ms - file.latency_ms
        print(f"quantize: {value} in float: mIoU {gain:+.4f}, {cost:+.2f} ms" + ("" if kept else "; back to int8"))
        steps.append({"layer": value, "miou": other.miou, "latency_ms": other.latency_ms, "kept": kept})
        if kept:
            file, remaining = other, rank_layers(source, other.float_ops)
        tried = {step["layer"] for step in steps}
        remaining = {name: error for name, error in remaining.items() if name not in tried}
    return FallbackResult(source, file, ranking, steps)
