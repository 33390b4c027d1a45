"""What predicts the latency of a network: a table of measured ops, or the compiler of an NPU."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from search_spaces.ops import Graph


@dataclass(frozen=True)
class Price:
    """What a network costs on a target.

    Attributes:
        latency_ms: Predicted latency in ms.
        sram_bytes: The most bytes of SRAM in use at once; None where the target is no NPU.
        cpu_ops: Ops that the NPU leaves to the CPU; None where the target is no NPU. Their time is not in `latency_ms`.
        energy_mj: Predicted energy in mJ, idle subtracted; None where it was not measured on the target.
    """

    latency_ms: float
    sram_bytes: int | None = None
    cpu_ops: int | None = None
    energy_mj: float | None = None


class LatencyModel(Protocol):
    """Predicts what networks cost on one target (`compress.latency.table`, `compress.latency.npu_model`)."""

    @property
    def survey_draws(self) -> int:
        """How many random networks a search prices before it starts."""

    def predict(self, graph: Graph) -> float:
        """Predicts the latency of a network.

        Args:
            graph: Its ops.

        Returns:
            Milliseconds.
        """

    def price(self, graph: Graph) -> Price:
        """Predicts what a network costs.

        Args:
            graph: Its ops.

        Returns:
            Its price.
        """

    def prices(self, graphs: Sequence[Graph]) -> list[Price]:
        """Predicts what many networks cost, on all processors where that is slow.

        Args:
            graphs: The ops of each network.

        Returns:
            The price of each.
        """
