"""The figures of a report, each as a PNG in base64."""

import base64
import io
import warnings
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from compress.data.dataset import IGNORE
from compress.stages.run import SEARCH, STAGES, Run
from compress.training.log import HEAD, read_log
from nas.listing import read_scored_candidates

matplotlib.use("Agg")
PICTURES = 6  # validation images in a report
MAX_TITLE = 24  # characters of an image's name above its picture
VOID_COLOUR = (0, 0, 0)


def scatter_figure(run: Run, result: dict[str, Any]) -> str:
    """Draws the mIoU of every scored candidate against its predicted latency, the Pareto front and the final model.

    Args:
        run: A finished run.
        result: What its result.json holds.

    Returns:
        A PNG in base64.

    Raises:
        InputError: When search.jsonl is damaged.
    """
    candidates = read_scored_candidates(run.path / "search.jsonl")
    scored = sorted(((float(c["predicted_latency_ms"]), float(c["miou"])) for c in candidates), key=lambda p: p[0])
    figure = Figure(figsize=(9, 4.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.scatter([p[0] for p in scored], [p[1] for p in scored], s=22, color="#7b8fa6", label="candidates, as scored")
    front = [p for i, p in enumerate(scored) if all(p[1] > q[1] for q in scored[:i])]
    axes.step([p[0] for p in front], [p[1] for p in front], where="post", color="#2a6fbb", lw=1.2, label="Pareto front")
    axes.axvline(result["budget_ms"], color="#c0392b", ls="--", lw=1.2, label=f"budget {result['budget_ms']:g} ms")
    axes.scatter(result["latency_ms"], result["miou"], marker="*", s=170, color="#e08a00", label="final int8 model")
    axes.set(xlabel="latency, ms (candidates: table; final: measured)", ylabel="validation mIoU")
    axes.set_xlim(0, result["budget_ms"] * 1.08)
    axes.grid(alpha=0.25)
    axes.legend(loc="best", fontsize=9)
    return png(figure)


def curves_figure(run: Run) -> str:
    """Draws the loss against the steps of every training that left a log.

    Args:
        run: A finished run.

    Returns:
        A PNG in base64; empty where there is no log.

    Raises:
        InputError: When a log is damaged.
    """
    logs = {stage: run.path / stage / "log.csv" for stage in (SEARCH, *STAGES)}
    trained = {stage: log for stage, log in logs.items() if log.is_file()}
    if not trained:
        return ""
    figure = Figure(figsize=(9, 2.6), dpi=110, layout="constrained")
    for axes, (stage, log) in zip(figure.subplots(1, len(trained), squeeze=False)[0], trained.items(), strict=True):
        lines = [dict(zip(HEAD, map(float, line), strict=True)) for line in read_log(log)]
        axes.plot([line["step"] for line in lines], [line["loss"] for line in lines], color="#2a6fbb", lw=1.2)
        axes.set_title("supernet" if stage == SEARCH else stage, fontsize=10)
        axes.set_xlabel("step")
        axes.grid(alpha=0.25)
    figure.axes[0].set_ylabel("loss")
    return png(figure)


def pictures_figure(run: Run, maps: list[np.ndarray]) -> str:
    """Draws image, truth and prediction of images spread over the validation split.

    Args:
        run: A finished run.
        maps: The class map of each validation image: h,w of class indices.

    Returns:
        A PNG in base64.
    """
    validation = run.validation
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(run.data.colours)] = run.data.colours
    palette[IGNORE] = VOID_COLOUR
    chosen = np.unique(np.linspace(0, len(validation) - 1, PICTURES).round().astype(int))
    figure = Figure(figsize=(3 * len(chosen), 8.6), dpi=70, layout="constrained")
    grid = figure.subplots(3, len(chosen), squeeze=False)
    for column, i in enumerate(chosen):
        size = validation.masks[i].shape
        map_ = F.interpolate(torch.from_numpy(maps[i])[None, None].float(), size, mode="nearest-exact")[0, 0]
        rows = (
            validation.images[i].permute(1, 2, 0).numpy(),
            palette[validation.masks[i].numpy()],
            palette[map_.byte().numpy()],
        )
        for axes, picture in zip(grid[:, column], rows, strict=True):
            axes.imshow(picture)
            axes.set_xticks([])
            axes.set_yticks([])
        name = run.data.val[i].image.stem
        title = name if len(name) <= MAX_TITLE else f"{name[: MAX_TITLE - 1]}…"
        grid[0, column].set_title(title, fontsize=9, parse_math=False)  # a file's name may hold any number of $
    for axes, label in zip(grid[:, 0], ("image", "truth", "prediction"), strict=True):
        axes.set_ylabel(label)
    return png(figure)


def png(figure: Figure) -> str:
    """Renders a figure.

    Args:
        figure: The figure.

    Returns:
        A PNG in base64.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # of names in scripts that the font lacks: they show as boxes
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()
