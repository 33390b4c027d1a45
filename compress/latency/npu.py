"""Arm's Ethos-U NPUs as Vela models them. Vela is Arm's compiler for them and needs no hardware.

A .tflite file is compiled in this process. Vela estimates the cycles that the NPU takes and the memory that it uses.
It does not estimate ops that the NPU cannot run. These stay in the compiled file for the CPU.
"""

import os
from collections.abc import Mapping
from configparser import ConfigParser
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from compress.files.native_output import output_to
from compress.latency.latency_model import Price
from compress.tflite.flatbuffer import op_name, read_model
from search_spaces.errors import InputError

EXTRA = "pip install 'slimlab[ethosu]'"
PACKAGE = "ethos-u-vela"
# of vela.ini: the clock and the memories of a typical system, and what lies in which memory
SYSTEMS = {
    "ethos-u55": ("Ethos_U55_High_End_Embedded", "Shared_Sram"),
    "ethos-u65": ("Ethos_U65_High_End", "Dedicated_Sram"),
    "ethos-u85": ("Ethos_U85_SYS_DRAM_Mid", "Dedicated_Sram"),
}
DEFAULT_SRAM = {"ethos-u85": 384 * 1024}  # bytes, of Vela's memory mode Dedicated_Sram_384KB
MAX_SRAM = 2**32  # bytes: no bound
DUAL_CORE = "ethos-u65-512"  # two cores of 256 MACs a cycle
# Vela's weight encoder gives files of the same network sizes that differ by some bytes, and latencies by 3e-5
DIGITS = 4
OPTIONS = """
[compiler]
output_format=TFLite
cop_format=COP1

[scheduler]
optimize=Performance
arena_size_limit={sram}
disable_feature=
cpu_tensor_alignment=16
tensor_allocator=HillClimb
"""


@dataclass(frozen=True)
class CompiledModel:
    """A file as Vela compiled it.

    Attributes:
        content: The bytes of the compiled .tflite file.
        price: The estimated latency, the peak of the SRAM and the number of ops left to the CPU.
        npu_ops: The number of ops that the NPU runs.
        left: The names of the ops left to the CPU, such as ARG_MAX, in the order they run.
    """

    content: bytes
    price: Price
    npu_ops: int
    left: tuple[str, ...]


@dataclass(frozen=True)
class Npu:
    """One configuration of an Ethos-U NPU in a typical system of Arm's.

    Attributes:
        name: One of `compress.latency.target_names.NPUS`.
        sram_bytes: The SRAM that the compiler may use, in bytes; None for what Arm's system has.
    """

    name: str
    sram_bytes: int | None = None

    @property
    def series(self) -> str:
        """The name without the size, such as ethos-u55."""
        return self.name.rpartition("-")[0]

    @property
    def graph_form(self) -> dict[str, bool]:
        """The fields of a genotype by which a network suits the NPU.

        The U55 and the U65 enlarge by two only, and argmax becomes tens of thousands of their ops. The U85 runs both.
        """
        simple = self.series != "ethos-u85"
        return {"doubling": True, "logits": True} if simple else {}

    def facts(self) -> dict[str, Any]:
        """What the estimates depend on.

        Returns:
            Plain values, as they stand in RUN/npu.json.
        """
        system, memory = SYSTEMS[self.series]
        return {
            "npu": self.name,
            "system": system,
            "memory": memory,
            "sram_bytes": self._sram_limit,
            "vela": vela_version(),
        }

    def compile(self, content: bytes) -> CompiledModel:
        """Compiles a file.

        Args:
            content: The bytes of a .tflite file.

        Returns:
            The compiled file and its price.

        Raises:
            InputError: Vela is not installed or cannot compile the file.
        """
        if content not in self._last:
            made = self._compile(content)
            self._last.clear()
            self._last[content] = made
        return self._last[content]

    @cached_property
    def _last(self) -> dict[bytes, CompiledModel]:
        """The last file: what is measured is often looked at once more."""
        return {}

    def _compile(self, content: bytes) -> CompiledModel:
        regor = _regor()
        series = "".join(part.capitalize() for part in self.series.split("-"))
        try:
            with output_to(Path(os.devnull)):  # it prints a paragraph for every op that it leaves to the CPU
                options = OPTIONS.format(sram=self._sram_limit)
                made = regor.compile(series, content, "TFLITE", self._system, options=options, verbose=False)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"Vela cannot compile the file for {self.name}: {reason}") from error
        report, compiled = made.perf_report, bytes(made.model)
        memories = {str(name): memory.peakUsage for name, memory in report.memories.items()}
        ms = float(f"{1000 * report.totalCycles / self._clock:.{DIGITS}g}")
        names = file_op_names(compiled)
        left = tuple(name for name in names if not name.startswith("CUSTOM"))
        price = Price(ms, int(memories.get("Sram", 0)), max(int(report.cpuOps), len(left)))
        return CompiledModel(compiled, price, int(report.npuOps), left)

    @property
    def _sram_limit(self) -> int:
        return self.sram_bytes or DEFAULT_SRAM.get(self.series, MAX_SRAM)

    @cached_property
    def _ini(self) -> str:
        """The text of Vela's file of systems."""
        return (Path(_regor().__file__).parent / "config_files" / "Arm" / "vela.ini").read_text()

    @cached_property
    def _clock(self) -> float:
        """Cycles a second."""
        parser = ConfigParser()
        parser.read_string(self._ini)
        return float(parser[f"System_Config.{SYSTEMS[self.series][0]}"]["core_clock"])

    @cached_property
    def _system(self) -> str:
        """What Vela is told of the NPU and its memories."""
        cores = 2 if self.name == DUAL_CORE else 1
        macs = int(self.name.rpartition("-")[2]) // cores
        system, memory = SYSTEMS[self.series]
        head = f"[architecture]\nmacs={macs}\ncores={cores}\n[vela]\n"
        return f"{head}system_config_name={system}\nmemory_mode_name={memory}\n{self._ini}"


def file_op_names(content: bytes) -> list[str]:
    """The names of a file's ops.

    Args:
        content: The bytes of a .tflite file.

    Returns:
        The schema's names, such as CONV_2D, in the order they run.
    """
    model = read_model(content)
    return [op_name(model, operator) for operator in model.subgraphs[0].operators]


def vela_version() -> str:
    """The version of Vela.

    Returns:
        Such as 5.2.0.

    Raises:
        InputError: Vela is not installed.
    """
    try:
        return version(PACKAGE)
    except PackageNotFoundError as error:
        raise InputError(f"--target vela needs Arm's compiler Vela; {EXTRA}") from error


def _regor() -> Any:
    try:
        from ethosu import regor
    except ImportError as error:
        raise InputError(f"--target vela needs Arm's compiler Vela; {EXTRA}") from error
    return regor


def check_same_vela(stored: Mapping[str, Any], npu: Npu, name: str) -> None:
    """Refuses a run whose prices come from another version of Vela, or for another system.

    Args:
        stored: The facts of the run.
        npu: The NPU of now.
        name: The file of the facts, for the error.

    Raises:
        InputError: A fact differs. The message names it.
    """
    for key, value in npu.facts().items():
        if stored.get(key) != value:
            remedy = f"pip install {PACKAGE}=={stored.get(key)}, or " if key == "vela" else ""
            raise InputError(f"{name}: made with {key} {stored.get(key)}, not {value}; {remedy}start another --run")
