"""Opens what `--teacher`, `--loss` and `--features` of `compress.distill` ask for."""

from dataclasses import replace
from pathlib import Path

import torch

from compress.distillation.layer_distillation import PLACES, LayerDistillation, parse_places
from compress.distillation.losses import DISTILLATION_TERMS, LAYER_DISTILLERS
from compress.distillation.teachers import TEACHER_FILES, OwnTeacher, Teacher, open_teacher
from compress.distillation.teaching import Teaching
from compress.files.atomic import digest
from compress.stages.run import Run
from search_spaces.errors import InputError
from search_spaces.network import Network


def teacher_file(run: Run, teacher: str) -> Path:
    """The file that `--teacher` names.

    Args:
        run: The run.
        teacher: `train` (the network before pruning), `largest` (the largest network of the search) or a path.

    Returns:
        The path of an existing file.

    Raises:
        InputError: There is no such file.
    """
    named = {"train": run.made(run.before("prune")), "largest": run.path / "search" / "teacher.pt"}
    path = named.get(teacher, Path(teacher))
    if not path.is_file():
        made = "; a search with --strategy supernet makes it" if teacher == "largest" else ""
        raise InputError(f"--teacher {teacher}: there is no file {path}{made}; give train, largest or {TEACHER_FILES}")
    return path


def open_run_teacher(run: Run, teacher: str) -> tuple[Teacher, str]:
    """Opens the teacher that `--teacher` names.

    Args:
        run: The run.
        teacher: `train`, `largest` or a path.

    Returns:
        The teacher and the digest of its file.

    Raises:
        InputError: The file is missing, cannot be opened, or gives no logits of the run's classes.
    """
    path, crop = teacher_file(run, teacher), run.config.schedule("distill").crop
    classes, bands = len(run.data.classes), len(run.data.pixels.bands)
    return open_teacher(path, classes, run.config.input_size, crop, run.device, bands), digest(path)


def open_teaching(
    run: Run, student: Network, teacher: str, terms: dict[str, float], features: str | None, folder: Path
) -> tuple[Teaching, str]:
    """Opens a teacher and sets up the losses.

    Args:
        run: The run.
        student: The network that learns.
        teacher: `train`, `largest` or a path.
        terms: The weight of each loss of `--loss`.
        features: `--features`: the places whose layers are compared; None for all of them.
        folder: The stage's folder, for nni's log.

    Returns:
        The teaching, and the digest of the teacher's file.

    Raises:
        InputError: The teacher cannot be opened, or the flags do not go together.
    """
    opened, file = open_run_teacher(run, teacher)
    key = f"{file} {terms}"
    of_layers = [name for name in terms if name in LAYER_DISTILLERS]
    of_logits = {name: weight for name, weight in terms.items() if name in DISTILLATION_TERMS}
    teaching = Teaching(opened, of_logits, key)
    if not of_layers:
        if features is not None:
            raise InputError(
                f"--features {features}: add {' or '.join(LAYER_DISTILLERS)} to --loss, which compare layers"
            )
        return teaching, file
    if len(of_layers) > 1:
        raise InputError(f"--loss {','.join(of_layers)}: both compare the same layers; take one")
    if not isinstance(opened, OwnTeacher):
        raise InputError(f"--teacher {teacher}: shows its logits only; --loss {of_layers[0]} needs a network.pt")
    (kind,) = of_layers
    places = PLACES if features is None else parse_places(features)
    torch.manual_seed(run.config.seed)  # the linear maps of `adaptive` begin at random
    compared = LayerDistillation(kind, terms[kind], places, student.to(run.device), opened.network, folder / "nni.log")
    watched = replace(opened, network=compared.teacher)
    return replace(teaching, teacher=watched, training_key=f"{key} {places}", features=compared), file
