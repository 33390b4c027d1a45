"""One page that sets finished runs side by side. It reads what they recorded and changes nothing in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.stages.run import Run
from nas.pages.figures import Cloud, comparison_figure, read_cloud, run_colour
from nas.pages.parts import part, write_page
from nas.pages.svg import THEME

NO_FIGURE = "–"


@dataclass(frozen=True)
class Compared:
    """A run of a comparison.

    Attributes:
        run: The run.
        result: What its result.json holds.
        exported: What its stage `export` recorded.
    """

    run: Run
    result: dict[str, Any]
    exported: dict[str, Any]

    @property
    def name(self) -> str:
        """Its folder, as it was given."""
        return str(self.run.path)


# name of a row -> its cell of a run; a figure that an older version did not record is missing
ROWS: dict[str, Callable[[Compared], str]] = {
    "data": lambda one: one.result["data"],
    "target": lambda one: one.result["target"],
    "input size": lambda one: "x".join(map(str, one.run.config.input_size)),
    "search space": lambda one: one.exported["genotype"]["space"],
    "budget, ms": lambda one: f"{one.result['budget_ms']:g}",
    "mIoU": lambda one: f"{one.result['miou']:.4f}",
    "latency p50, ms": lambda one: f"{one.result['latency_ms']:.2f}",
    "latency p90, ms": lambda one: f"{one.exported['latency_p90_ms']:.2f}",
    "cold start, ms": lambda one: f"{one.exported['cold_start_ms']:.1f}",
    "file, KiB": lambda one: f"{one.exported['size_bytes'] / 1024:.0f}",
    "arena, KiB": lambda one: f"{one.exported['arena_bytes'] / 1024:.0f}",
    "parameters": lambda one: f"{one.exported['params']:,}",
    "MACs": lambda one: f"{one.exported['macs']:,}",
    "candidates scored": lambda one: f"{one.result['search']['trials']:,}",
    "seed": lambda one: str(one.result["seed"]),
}


def write_comparison(compared: Sequence[Compared], path: Path) -> None:
    """Writes the page.

    Args:
        compared: Two or more finished runs.
        path: The page's file.

    Raises:
        InputError: The page cannot be written.
    """
    clouds = [read_candidates(one) for one in compared]
    write_page(
        path,
        "compare.html",
        names=[one.name for one in compared],
        colours=[f"var(--{THEME[run_colour(number)][0]})" for number in range(1, len(compared) + 1)],
        remarks=differences(compared),
        scatter=part("candidates", lambda: comparison_figure(clouds)),
        head=("", *(f"{number} {one.name}" for number, one in enumerate(compared, 1))),
        figures=part(
            "figures", lambda: [(name, *(_cell(cell, one) for one in compared)) for name, cell in ROWS.items()]
        ),
        classes=part("classes", lambda: class_rows([one.exported.get("classes", {}) for one in compared])),
    )


def read_candidates(one: Compared) -> Cloud:
    """Reads the candidates of a run. Where they are damaged, its final model is shown without them.

    Args:
        one: The run.

    Returns:
        The points of the plot.
    """
    read = part(f"candidates of {one.name}", lambda: read_cloud(one.run, one.result))
    return read_cloud(one.run, one.result, candidates=False) if read.fault else read.value


def class_rows(classes: Sequence[dict[str, dict[str, float | None]]]) -> list[tuple[str, ...]]:
    """Makes the table of classes. Classes of the same name share a row.

    Args:
        classes: Of each run `iou` (0..1 or None) and `share` by the name of the class; empty for a run of an older
            version.

    Returns:
        A row of cells for each class: its name, its IoU in each run.
    """
    names = dict.fromkeys(name for one in classes for name in one)
    ious = {name: [one.get(name, {}).get("iou") for one in classes] for name in names}
    return [(name, *(NO_FIGURE if iou is None else f"{iou:.3f}" for iou in row)) for name, row in ious.items()]


def differences(compared: Sequence[Compared]) -> list[str]:
    """Says which figures cannot be compared.

    Args:
        compared: The runs.

    Returns:
        Sentences.
    """
    found = []
    if len({(one.result["data"], one.run.config.input_size) for one in compared}) > 1:
        found.append("The runs differ in data or input size: their mIoU are not of the same images.")
    if len({(one.result["target"], one.run.config.threads) for one in compared}) > 1:
        found.append("The runs differ in target or threads: their latencies are not of the same device.")
    return found


def _cell(make: Callable[[Compared], str], one: Compared) -> str:
    try:
        return make(one)
    except (KeyError, TypeError, ValueError):  # not recorded, or null
        return NO_FIGURE
