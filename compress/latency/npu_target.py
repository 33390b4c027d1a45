"""An NPU as a target: what is measured elsewhere is estimated here, for the file as it is shipped."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from compress.latency.cores import Core
from compress.latency.drift import Drift
from compress.latency.npu import Npu
from compress.latency.target import Target
from compress.latency.target_names import NPUS, VELA
from compress.latency.timing import Timed
from search_spaces.errors import InputError


@dataclass(frozen=True)
class NpuTarget(Target):
    """An Ethos-U NPU whose latency Vela estimates. Every estimate is of a whole file with its own weights.

    Attributes:
        npu: The NPU.
        runs_float: Whether it runs float ops.
    """

    npu: Npu = field(default_factory=lambda: Npu(NPUS[0]))
    runs_float: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The target as `--target` names it."""
        return f"{VELA}:{self.npu.name}"

    def facts(self) -> dict[str, str]:
        """What the estimates depend on.

        Returns:
            `runtime`, `processor` and the NPU's system.
        """
        facts = {name: str(value) for name, value in self.npu.facts().items()}
        return {"runtime": f"Vela {facts['vela']}", "processor": self.npu.name, **facts}

    @property
    def chosen_cores(self) -> tuple[Core, ...]:
        """See `Target.chosen_cores`. An estimate takes none."""
        return ()

    @property
    def drift(self) -> Drift:
        """See `Target.drift`. An estimate does not drift."""
        return Drift()

    def time(self, models: Sequence[bytes], seconds: float) -> tuple[list[Timed], float]:
        """Estimates the latency of files.

        Args:
            models: The content of .tflite files.
            seconds: Not used.

        Returns:
            An estimate for each model, and 1 ms as the time of the reference.

        Raises:
            InputError: An op of a file would run on the CPU. The message names it.
        """
        timed = []
        for content in models:
            made = self.npu.compile(content)
            if made.price.cpu_ops:
                left = ", ".join(sorted(set(made.left)))
                raise InputError(
                    f"{self.name} leaves {made.price.cpu_ops} ops of the file to the CPU: {left}; "
                    "export it again, or choose another --target"
                )
            ms = made.price.latency_ms
            timed.append(Timed(ms, ms, ms, ms, 1))
        return timed, 1.0


def open_npu(name: str, sram_bytes: int | None = None) -> NpuTarget:
    """Opens an NPU as a target.

    Args:
        name: One of `compress.latency.target_names.NPUS`.
        sram_bytes: The SRAM that the compiler may use, in bytes; None for what Arm's system has.

    Returns:
        The target.
    """
    return NpuTarget(npu=Npu(name, sram_bytes))
