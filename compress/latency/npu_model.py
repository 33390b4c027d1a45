"""Prices whole networks on an NPU: each is written with random weights and compiled (`compress.latency.npu`).

There is no table of ops. Summed over the ops of a network, Vela's estimates of single ops exceed that of the whole by
20 to 350 %, because neighbours share memory transfers.
"""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace

from compress.latency.latency_model import Price
from compress.latency.npu import Npu
from compress.tflite.writer import random_weight_model
from search_spaces.ops import Graph

MIN_PARALLEL = 24  # networks; a process takes seconds to start, a network a fifth of a second
CHUNK = 8  # networks that a process is given at a time


def price_on(npu: Npu, graph: Graph) -> Price:
    """Prices one network.

    Args:
        npu: The NPU.
        graph: The ops of the network.

    Returns:
        Its price with random weights. Trained weights compress better and are a little faster to load.
    """
    return npu.compile(random_weight_model(graph)).price


@dataclass(frozen=True)
class NpuModel:
    """Predicts what networks cost on one NPU (`compress.latency.latency_model.LatencyModel`).

    Attributes:
        npu: The NPU.
        survey_draws: How many random networks a search prices before it starts.
    """

    npu: Npu
    survey_draws: int = 300
    _known: dict[tuple[object, ...], Price] = field(default_factory=dict, compare=False)

    def predict(self, graph: Graph) -> float:
        """Predicts the latency of a network.

        Args:
            graph: Its ops.

        Returns:
            Milliseconds. Ops that are left to the CPU are not counted.
        """
        return self.price(graph).latency_ms

    def price(self, graph: Graph) -> Price:
        """Compiles a network, unless it was compiled before.

        Args:
            graph: Its ops.

        Returns:
            Its price.
        """
        key = _work(graph)
        if key not in self._known:
            self._known[key] = price_on(self.npu, graph)
        return self._known[key]

    def prices(self, graphs: Sequence[Graph]) -> list[Price]:
        """Compiles many networks on all processors.

        Args:
            graphs: The ops of each network.

        Returns:
            The price of each.
        """
        new = list({_work(graph): graph for graph in graphs if _work(graph) not in self._known}.values())
        cores = os.cpu_count() or 1
        if len(new) >= MIN_PARALLEL and cores > 1:
            # not forked: torch has threads
            with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as pool:
                plain = replace(self.npu)  # without the file that it keeps
                found = pool.map(price_on, [plain] * len(new), new, chunksize=CHUNK)
                self._known.update(zip(map(_work, new), found, strict=True))
        return [self.price(graph) for graph in graphs]


def _work(graph: Graph) -> tuple[object, ...]:
    """All that the price of a network depends on: what its ops do and what they read."""
    places = {op.name: i for i, op in enumerate(graph)}
    return tuple((op.work, op.relu6, tuple(places.get(name, -1) for name in op.inputs)) for op in graph)
