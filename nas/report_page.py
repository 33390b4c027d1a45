"""RUN/report.html: one self-contained page of a run. A part that cannot be drawn is a line that says why."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from compress.evaluation.metrics import iou_per_class
from compress.evaluation.tflite_file import evaluate_tflite
from compress.files.atomic import write_atomically
from compress.files.records import read_json
from compress.stages.run import SEARCH, STAGES, Run
from compress.tflite.flatbuffer import read_tflite
from nas.figures import curves_figure, pictures_figure, scatter_figure
from search_spaces.errors import InputError

FINALISTS_HEAD = (
    "genotype", "mIoU, as a candidate", "refined", "weighted by latency", "MACs", "latency, ms", "predicted, ms",
)  # fmt: skip
STAGES_HEAD = ("stage", "mIoU", "latency, ms", "predicted, ms", "parameters", "MACs", "size, KiB", "time, s")


@dataclass(frozen=True)
class Part:
    """A part of the page.

    Attributes:
        value: What the page shows; None where it cannot be made.
        fault: Why it cannot be made; empty where it was.
    """

    value: Any
    fault: str = ""


def part(name: str, make: Callable[[], Any]) -> Part:
    """Makes a part of the page. A fault goes to stderr and into the page, never further: the job is done.

    Args:
        name: What the part shows.
        make: Gives its value.

    Returns:
        The part.
    """
    try:
        return Part(make())
    except Exception as error:  # whatever is wrong with a side file or an image: the model is there already
        fault = " ".join(str(error).split())[:500] or type(error).__name__
        print(f"report: the {name} cannot be shown: {fault}", file=sys.stderr)
        return Part(None, fault)


@dataclass(frozen=True)
class Evaluation:
    """What running model.tflite over the validation split gives.

    Attributes:
        classes: Name, colour and IoU (0..1) of each class.
        maps: The class map of each image: h,w of class indices.
    """

    classes: list[tuple[str, tuple[int, int, int], float]]
    maps: list[np.ndarray]


def write_report(run: Run, result: dict[str, Any]) -> None:
    """Writes RUN/report.html. The pictures are made by running model.tflite.

    Args:
        run: A finished run.
        result: What its result.json holds.

    Raises:
        InputError: When the page cannot be written, as on a full disk.
    """
    evaluation = part("evaluation of model.tflite", lambda: evaluated(run))
    maps = [] if evaluation.fault else evaluation.value.maps
    pictures = evaluation if evaluation.fault else part("pictures", lambda: pictures_figure(run, maps))
    html = jinja2.Environment(autoescape=True).from_string(Path(__file__).with_name("report.html").read_text())
    page = html.render(
        name=run.path.name,
        result=result,
        scatter=part("candidates", lambda: scatter_figure(run, result)),
        finalists=part("finalists", lambda: finalist_rows(run)),
        finalists_head=FINALISTS_HEAD,
        stages=part("stages", lambda: stage_rows(result)),
        stages_head=STAGES_HEAD,
        remarks=part("remarks", lambda: remarks(run)),
        curves=part("training logs", lambda: curves_figure(run)),
        evaluation=evaluation,
        pictures=pictures,
        size="x".join(map(str, run.config.input_size)),
        genotype=part("genotype", lambda: str(run.network("distill").genotype)),
        environment=part("environment", lambda: json.dumps(read_json(run.path / "config.json", "start the run anew"))),
    )
    write_atomically(run.path / "report.html", page.encode())


def evaluated(run: Run) -> Evaluation:
    """Runs model.tflite over the validation split.

    Args:
        run: A finished run.

    Returns:
        The IoU of each class and the class maps.

    Raises:
        InputError: When the file or the data cannot be read.
    """
    model = read_tflite(run.path / "model.tflite", f"run python -m compress.export {run.path} again")
    counts, maps = evaluate_tflite(model, run.network("distill"), run.validation, "report")
    ious = iou_per_class(counts).tolist()
    return Evaluation(list(zip(run.data.classes, run.data.colours, ious, strict=True)), maps)


def finalist_rows(run: Run) -> list[tuple[str, ...]]:
    """Reads the table of finalists.

    Args:
        run: A finished run. One of an older version has no finalists.json.

    Returns:
        A row of cells for each finalist, as FINALISTS_HEAD names them.

    Raises:
        InputError: When finalists.json is damaged.
    """
    path, remedy = run.path / SEARCH / "finalists.json", "the table of finalists is left out"
    found = read_json(path, remedy, list) if path.exists() else []
    winner = run.genotype.id
    try:
        return [
            (
                f"{one['id']}, winner" if one["id"] == winner else str(one["id"]),
                f"{one['miou']:.4f}",
                f"{one['refined_miou']:.4f}" if "refined_miou" in one else "over the budget",
                f"{one['refined_score']:.4f}" if "refined_score" in one else "",
                f"{one['macs']:,}" if "macs" in one else "",
                f"{one['latency_ms']:.2f}",
                f"{one['predicted_latency_ms']:.2f}",
            )
            for one in found
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a list of finalists ({type(error).__name__}: {error}); {remedy}") from error


def stage_rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """Makes the table of stages.

    Args:
        result: What result.json holds.

    Returns:
        A row of cells for each stage, as STAGES_HEAD names them.
    """
    return [
        (
            str(stage["name"]),
            f"{stage['miou']:.4f}",
            f"{stage['latency_ms']:.2f}",
            f"{stage['predicted_latency_ms']:.2f}",
            f"{stage['params']:,}",
            f"{stage['macs']:,}",
            f"{stage['size_bytes'] / 1024:.0f}",
            f"{stage['wall_s']:.0f}",
        )
        for stage in result["stages"]
    ]


def remarks(run: Run) -> list[str]:
    """Says what a reader of the stages' table must know: stages that changed nothing, latencies not to be trusted.

    Args:
        run: A finished run.

    Returns:
        Sentences.
    """
    pruned, taught = (run.metrics(name) for name in ("prune", "distill"))
    busy = {name: run.metrics(name).get("busy") for name in STAGES}
    found = [f"The machine was busy while {name} was measured ({why})." for name, why in busy.items() if why]
    if not pruned["rounds"]:
        found.append(f"Nothing was pruned: {pruned['target_ms']:.2f} ms were allowed.")
    if taught["taught_miou"] is None:
        found.append("Nothing was distilled: the network had no teacher but itself.")
    if taught["undone"]:
        found.append(f"Distillation was undone: it led to mIoU {taught['taught_miou']:.4f}.")
    return found
