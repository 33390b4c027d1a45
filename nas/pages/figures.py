"""The plots of the pages: candidates against latency, training curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from compress.stages.run import SEARCH, Run
from compress.training.log import HEAD, LOG_FILE, read_log
from nas.listing import read_scored_candidates
from nas.pages.svg import FONT_SIZE, HEX, INK, inline_svg, new_axes, new_figure

SCATTER_HEIGHT, CURVE_HEIGHT = 290, 200
RUN_COLOURS = tuple(HEX[name] for name in ("blue", "red", "green", "orange", "violet", "teal", "brown", "pink"))
Point = tuple[float, float]


@dataclass(frozen=True)
class Cloud:
    """The candidates of a run and what came of them.

    Attributes:
        scored: Predicted latency in ms and mIoU (0..1) of each candidate, by latency.
        final: Measured latency in ms and mIoU (0..1) of the final int8 model.
        budget_ms: The latency budget, ms.
    """

    scored: list[Point]
    final: Point
    budget_ms: float

    @property
    def front(self) -> list[Point]:
        """The candidates that are more accurate than every faster one."""
        return [p for i, p in enumerate(self.scored) if all(p[1] > q[1] for q in self.scored[:i])]


def read_cloud(run: Run, result: dict[str, Any], candidates: bool = True) -> Cloud:
    """Reads what a plot of candidates shows of a run.

    Args:
        run: A finished run.
        result: What its result.json holds.
        candidates: Whether to read the candidates; without them the final model is shown alone.

    Returns:
        The points.

    Raises:
        InputError: search.jsonl is damaged.
    """
    lines = read_scored_candidates(run.path / "search.jsonl") if candidates else []
    scored = sorted((float(line["predicted_latency_ms"]), float(line["miou"])) for line in lines)
    return Cloud(scored, (result["latency_ms"], result["miou"]), result["budget_ms"])


def scatter_figure(cloud: Cloud) -> Markup:
    """Draws the mIoU of every scored candidate against its predicted latency, the Pareto front and the final model.

    Args:
        cloud: The points of the run.

    Returns:
        An `<svg>` element.
    """
    figure = new_figure(SCATTER_HEIGHT)
    axes = new_axes(figure, "latency, ms", "validation mIoU")
    axes.axvline(cloud.budget_ms, color=HEX["red"], ls="--", lw=1.4)
    _draw_candidates(axes, cloud, HEX["dots"], HEX["blue"], 1.0)
    axes.scatter(*cloud.final, marker="*", s=190, color=HEX["orange"], zorder=4)
    axes.set_xlim(0, max(cloud.budget_ms, cloud.final[0]) * 1.08)
    return inline_svg(figure, "candidates", "mIoU of candidates and of the final model against latency")


def comparison_figure(clouds: Sequence[Cloud]) -> Markup:
    """Draws the candidates of several runs, each in its colour, with the number of the run beside its final model.

    Args:
        clouds: The points of each run.

    Returns:
        An `<svg>` element.
    """
    figure = new_figure(SCATTER_HEIGHT)
    axes = new_axes(figure, "latency, ms", "validation mIoU")
    for number, cloud in enumerate(clouds, 1):
        colour = run_colour(number)
        _draw_candidates(axes, cloud, colour, colour, 0.4)
        axes.axvline(cloud.budget_ms, color=colour, ls="--", lw=1)
        axes.scatter(*cloud.final, marker="*", s=190, color=colour, zorder=4)
        axes.annotate(
            str(number), cloud.final, (6, 5), textcoords="offset points", color=INK, fontsize=FONT_SIZE, zorder=5
        )
    axes.set_xlim(0, max(max(cloud.budget_ms, cloud.final[0]) for cloud in clouds) * 1.08)
    return inline_svg(figure, "comparison", "mIoU of the candidates and final models of all runs against latency")


def run_colour(number: int) -> str:
    """The colour of a run in a comparison.

    Args:
        number: The number of the run, from 1.

    Returns:
        One of RUN_COLOURS; they are used again after the last.
    """
    return RUN_COLOURS[(number - 1) % len(RUN_COLOURS)]


def curve_figures(run: Run) -> list[tuple[str, Markup]]:
    """Draws the loss against the steps of every training that left a log.

    Args:
        run: A finished run.

    Returns:
        A title and an `<svg>` element for each training.

    Raises:
        InputError: A log is damaged.
    """
    logs = {stage: run.path / stage / LOG_FILE for stage in (SEARCH, *run.stages)}
    titles = {stage: "supernet" if stage == SEARCH else stage for stage in logs}
    return [(titles[stage], _curve(stage, log)) for stage, log in logs.items() if log.is_file()]


def _curve(stage: str, log: Path) -> Markup:
    lines = [dict(zip(HEAD, map(float, line), strict=True)) for line in read_log(log)]
    figure = new_figure(CURVE_HEIGHT)
    axes = new_axes(figure, "step", "loss")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    steps, losses = ([line[name] for line in lines] for name in ("step", "loss"))
    axes.plot(steps, losses, color=HEX["blue"], lw=1.6, marker="o" if len(lines) == 1 else "")
    return inline_svg(figure, f"curve-{stage}", f"loss against steps of the training of {stage}")


def _draw_candidates(axes: Axes, cloud: Cloud, dots: str, front: str, alpha: float) -> None:
    """Dots for the candidates and a stepped line for their Pareto front."""
    if cloud.scored:
        ms, mious = zip(*cloud.scored, strict=True)
        axes.scatter(ms, mious, s=20, color=dots, alpha=alpha, lw=0)
        ms, mious = zip(*cloud.front, strict=True)
        axes.step(ms, mious, where="post", color=front, lw=1.4)
