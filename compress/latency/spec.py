"""What a latency table is asked to hold true of, where its file lies, and how the file is opened."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.files.atomic import RUNS
from compress.latency.cores import BIG
from compress.latency.table import LatencyTable, read_table
from compress.latency.target import Target
from search_spaces import Space
from search_spaces.backbone import BACKBONE
from search_spaces.errors import InputError
from search_spaces.ops import RGB_BANDS


@dataclass(frozen=True)
class TableSpec:
    """What a table is asked to hold true of.

    Attributes:
        space: The search space.
        classes: Number of classes of the data: the head depends on it.
        input_size: (height, width) in pixels.
        precision: "int8" or "float32".
        target: Where latency is measured.
    """

    space: Space
    classes: int
    input_size: tuple[int, int]
    precision: str
    target: Target

    def made_for(self) -> dict[str, Any]:
        """The values that a table's `made_for` must have. The target is connected to.

        Returns:
            Plain values, as they stand in the table's file.
        """
        facts = self.target.facts()
        bands = {} if self.space.bands == RGB_BANDS else {"bands": self.space.bands}
        return {
            "space": self.space.name,
            "backbone": BACKBONE,
            "classes": self.classes,
            **bands,
            "input_size": list(self.input_size),
            "precision": self.precision,
            "target": self.target.name,
            "threads": self.target.threads,
            "cores": self.target.cores,
            "runtime": facts["runtime"],
            "processor": facts["processor"],
        }

    def path(self, folder: Path) -> Path:
        """The file of the table where no `--table` names one.

        Args:
            folder: The folder of all tables.

        Returns:
            A path whose name tells the tables apart.
        """
        height, width = self.input_size
        target = re.sub(r"[^\w.@-]", "-", self.target.name)
        stem = f"{target}-{self.space.name}-{self.precision}-{height}x{width}"
        cores = "" if self.target.cores == BIG else f"-cores-{self.target.cores.replace(',', '.')}"
        bands = "" if self.space.bands == RGB_BANDS else f"-b{self.space.bands}"
        return folder / f"{stem}-c{self.classes}{bands}-t{self.target.threads}{cores}.json"

    def command(self, path: Path | None = None) -> str:
        """The command that builds the table.

        Args:
            path: The file that the command writes; by default the one under runs/latency.

        Returns:
            A line for a shell.
        """
        height, width = self.input_size
        bands = "" if self.space.bands == RGB_BANDS else f"--bands {self.space.bands} "
        return (
            (
                f"python -m nas.latency build --target {self.target.name} --space {self.space.name} "
                f"--precision {self.precision} --input-size {height}x{width} --classes {self.classes} "
                f"{bands}--threads {self.target.threads}"
                + ("" if self.target.cores == BIG else f" --cores {self.target.cores}")
            )
            + (f" --energy-sensor {self.target.energy_sensor}" if self.target.energy_sensor else "")
            + (f" --table {path}" if path not in (None, self.path(RUNS / "latency")) else "")
        )


def load_table(path: Path, spec: TableSpec) -> LatencyTable:
    """Reads a table and compares what it was made for with what is asked.

    Args:
        path: The table's file.
        spec: What the table must hold true of.

    Returns:
        The table.

    Raises:
        InputError: The file is missing, damaged, or made for something else.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing; build it with {spec.command(path)}")
    table = read_table(path, f"build it again with {spec.command(path)}")
    asked, known = ({"cores": BIG, "bands": RGB_BANDS, **found} for found in (spec.made_for(), table.made_for))
    known["backbone"] = table.backbone
    for name, value in asked.items():
        made = known.get(name)
        if made != value:
            raise InputError(f"{path}: made for {name} {made}, not {value}; build one with {spec.command()}")
    return table
