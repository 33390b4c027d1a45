"""What a network costs, and the constraints a search must meet: the latency budget and bounds on memory."""

from dataclasses import dataclass

from compress.stages.config import RunConfig

COST_NAMES = ("latency_ms", "size_bytes", "arena_bytes")  # of every network
TARGET_COST_NAMES = ("sram_bytes", "cpu_ops", "energy_mj")  # of a network on an NPU, or where energy is measured
COST_UNITS = {
    "latency_ms": (1, "ms"),
    "size_bytes": (1024, "KiB of file"),
    "arena_bytes": (1024, "KiB of activations"),
    "sram_bytes": (1024, "KiB of SRAM"),
    "cpu_ops": (1, "ops left to the CPU"),
    "energy_mj": (1, "mJ"),
}
COST_FLAGS = {
    "latency_ms": "--budget-ms",
    "size_bytes": "--max-size-kib",
    "arena_bytes": "--max-arena-kib",
    "sram_bytes": "--max-sram-kib",
    "energy_mj": "--budget-mj",
}


@dataclass(frozen=True)
class Costs:
    """The costs of one network as int8.

    Attributes:
        latency_ms: Predicted latency on the target, ms.
        size_bytes: Bytes of the int8 file.
        arena_bytes: Bytes of the int8 activations that are alive at once.
        sram_bytes: The most bytes of SRAM in use at once; None where the target is no NPU.
        cpu_ops: Ops that the NPU leaves to the CPU; None where the target is no NPU.
        energy_mj: Predicted energy in mJ, idle subtracted; None where it is not measured.
    """

    latency_ms: float
    size_bytes: int
    arena_bytes: int
    sram_bytes: int | None = None
    cpu_ops: int | None = None
    energy_mj: float | None = None


@dataclass(frozen=True)
class Constraints:
    """Upper bounds on the costs of a network.

    Attributes:
        budget_ms: The latency budget, ms.
        size_bytes: Bound on the int8 file, bytes; None for no bound.
        arena_bytes: Bound on the activations alive at once, bytes; None for no bound.
        sram_bytes: Bound on the SRAM in use at once, bytes; None for no bound.
        cpu_ops: 0 for an NPU, which must run a network wholly; None for no bound.
        energy_mj: Bound on the energy of a run, mJ; None for no bound.
    """

    budget_ms: float
    size_bytes: float | None = None
    arena_bytes: float | None = None
    sram_bytes: float | None = None
    cpu_ops: int | None = None
    energy_mj: float | None = None

    @property
    def bounds(self) -> dict[str, float]:
        """The bounds that were given, by the names of `Costs`."""
        others = (*COST_NAMES[1:], *TARGET_COST_NAMES)
        bounds = {"latency_ms": self.budget_ms, **{name: getattr(self, name) for name in others}}
        return {name: bound for name, bound in bounds.items() if bound is not None}

    def violations(self, costs: Costs) -> dict[str, float]:
        """Compares costs with the bounds.

        Args:
            costs: The costs of a network.

        Returns:
            For each bound, the cost minus the bound, in ms or bytes. A bound is met at 0 or less.
        """
        return {name: getattr(costs, name) - bound for name, bound in self.bounds.items()}

    def are_met_by(self, costs: Costs) -> bool:
        """Decides whether a network is feasible.

        Args:
            costs: The costs of the network.

        Returns:
            Whether no bound is exceeded.
        """
        return all(violation <= 0 for violation in self.violations(costs).values())


def constraints_of(config: RunConfig) -> Constraints:
    """Reads the constraints of a run.

    Args:
        config: The run's settings.

    Returns:
        The budgets in ms and mJ, and the bounds in bytes.
    """
    kibs = (config.max_size_kib, config.max_arena_kib, config.max_sram_kib)
    size, arena, sram = (None if kib is None else kib * 1024 for kib in kibs)
    return Constraints(config.budget_ms, size, arena, sram, None if config.npu is None else 0, config.budget_mj)


def format_cost(name: str, value: float) -> str:
    """Writes a cost in its unit.

    Args:
        name: The cost, one of COST_NAMES.
        value: Its value in ms or bytes.

    Returns:
        The text, such as `3.21 ms` or `120.00 KiB of file`.
    """
    divisor, unit = COST_UNITS[name]
    return f"{value / divisor:.2f} {unit}"
