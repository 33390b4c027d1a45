"""RUN/report.html: one self-contained page of a run. A part that cannot be drawn is a line that says why."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from compress.evaluation.accelerators import ROWS_HEAD
from compress.evaluation.metrics import iou_per_class, share_per_class
from compress.evaluation.tflite_file import evaluate_tflite, read_runnable
from compress.files.records import read_json
from compress.stages.run import Run
from nas.pages.dashboard import dashboard_command
from nas.pages.figures import curve_figures, read_cloud, scatter_figure
from nas.pages.parts import part, write_page
from nas.pages.pictures import make_pictures
from nas.pages.tables import (
    CLIENTS_HEAD,
    FILES_HEAD,
    ROUNDS_HEAD,
    STAGES_HEAD,
    accelerator_rows,
    client_rows,
    federated_rows,
    file_rows,
    finalist_rows,
    phone_figures,
    remarks,
    stage_rows,
)


@dataclass(frozen=True)
class ClassFigures:
    """A class on the validation split.

    Attributes:
        name: Its name.
        colour: Its colour in pictures.
        iou: Its IoU (0..1); NaN where it is neither in the truth nor predicted.
        share: Its share (0..1) of the labelled pixels.
    """

    name: str
    colour: tuple[int, int, int]
    iou: float
    share: float


@dataclass(frozen=True)
class Evaluation:
    """What running model.tflite over the validation split gives.

    Attributes:
        classes: The figures of each class.
        maps: The class map of each image: h,w of class indices.
    """

    classes: list[ClassFigures]
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
    write_page(
        run.path / "report.html",
        "report.html",
        name=run.path.name,
        result=result,
        phone=part("figures of the target", lambda: phone_figures(run.metrics("export"))),
        strategy=run.config.strategy,
        scatter=part("candidates", lambda: scatter_figure(read_cloud(run, result))),
        finalists=part("finalists", lambda: finalist_rows(run)),
        stages=part("stages", lambda: stage_rows(result)),
        stages_head=STAGES_HEAD,
        rounds=part("rounds", lambda: federated_rows(run)),
        rounds_head=ROUNDS_HEAD,
        clients=part("clients", lambda: client_rows(run)),
        clients_head=CLIENTS_HEAD,
        files=part("exported files", lambda: file_rows(run.metrics("export"))),
        files_head=FILES_HEAD,
        accelerators=part("accelerators", lambda: accelerator_rows(run)),
        accelerators_head=ROWS_HEAD,
        remarks=part("remarks", lambda: remarks(run)),
        curves=part("training logs", lambda: curve_figures(run)),
        evaluation=evaluation,
        pictures=evaluation if evaluation.fault else part("pictures", lambda: make_pictures(run, maps)),
        size="x".join(map(str, run.config.input_size)),
        genotype=part("genotype", lambda: str(run.network("distill").genotype)),
        environment=part("environment", lambda: json.dumps(read_json(run.path / "config.json", "start the run anew"))),
        dashboard=part("study", lambda: dashboard_command(run)),
    )


def evaluated(run: Run) -> Evaluation:
    """Runs model.tflite over the validation split.

    Args:
        run: A finished run.

    Returns:
        The figures of each class and the class maps.

    Raises:
        InputError: When the file or the data cannot be read.
    """
    model = read_runnable(run.path / "model.tflite", f"run python -m compress.export {run.path} again")
    counts, maps = evaluate_tflite(model, run.network("distill"), run.validation, "report")
    columns = (run.data.classes, run.data.colours, iou_per_class(counts).tolist(), share_per_class(counts).tolist())
    return Evaluation([ClassFigures(*row) for row in zip(*columns, strict=True)], maps)
