"""Trains the pruned network with a teacher, and undoes it when the network was better before.

A network that was not pruned has nothing to learn from `train`, which is itself: it is left as it is. The teacher is
evaluated first. One that is less accurate than the student is named in a line; it is used all the same, because what it
does to the student decides.
"""

import time
from typing import Any

from compress.distillation.losses import TEACHING_TERMS
from compress.distillation.teacher_score import teacher_miou
from compress.distillation.teaching import Teaching
from compress.stages.fitting import fit_network
from compress.stages.options import DistillOptions
from compress.stages.records import record_network
from compress.stages.run import Run
from compress.stages.teaching import open_teaching
from compress.training.term_weights import parse_terms
from search_spaces.network import Network


def distill(run: Run, teacher: str = "train", loss: str = DistillOptions.loss, features: str | None = None) -> None:
    """Distills the pruned network and records it in RUN/distill.

    Args:
        run: The run; its pruning is done.
        teacher: `train` (the network before pruning), `largest` (the largest network of the search) or a file.
        loss: Losses between student and teacher with their weights, such as `kl,cwd=3`.
        features: Places whose layers are compared, such as `backbone,aspp`; None for all.

    Raises:
        InputError: The teacher cannot be opened, the flags do not go together, or the training diverged.
    """
    begun = time.monotonic()
    terms = parse_terms(loss, TEACHING_TERMS)
    student, folder = run.network("prune"), run.path / "distill"
    teaching, file = open_teaching(run, student, teacher, terms, features, folder)
    given = run.network("prune")
    asked = {"teacher": teacher, "teacher_digest": file, "loss": terms, "features": features}

    def record(network: Network, kept_miou: float, **figures: Any) -> None:
        record_network(run, "distill", network, kept_miou, begun, **asked, **figures)

    def save(seconds: float) -> None:
        taught_miou = run.miou(student)
        undone = taught_miou < miou
        if undone:
            print(f"distill: undone: mIoU {taught_miou:.4f} on the validation split, {miou:.4f} before")
        kept = (given, miou) if undone else (student, taught_miou)
        record(*kept, taught_miou=taught_miou, undone=undone, teacher_miou=of_teacher)

    if teacher == "train" and given.genotype == run.network(run.before("prune")).genotype:
        print("distill: nothing was pruned, so the network has no teacher but itself; --teacher may name another")
        record(given, run.metrics("prune")["miou"], taught_miou=None, undone=False, teacher_miou=None)
        return
    miou = run.miou(given)
    of_teacher = compare(run, teaching, teacher, miou)
    fit_network(run, student, run.config.schedule("distill"), folder, "distill", seed=4, teaching=teaching, save=save)


def compare(run: Run, teaching: Teaching, teacher: str, student_miou: float) -> float:
    """Evaluates a teacher, and prints a line if it is less accurate than the student.

    Args:
        run: The run.
        teaching: The teaching, with the opened teacher.
        teacher: What `--teacher` names.
        student_miou: The student's mIoU (0..1) on the validation split.

    Returns:
        The teacher's mIoU (0..1) on the validation split.

    Raises:
        InputError: The teacher fails on a validation image, or a logit is not finite.
    """
    size = run.config.input_size
    miou = teacher_miou(teaching.teacher, teacher, run.validation, len(run.data.classes), size, run.device)
    if miou < student_miou:
        print(
            f"distill: --teacher {teacher} has mIoU {miou:.4f} on the validation split, less than the student's "
            f"{student_miou:.4f}; a better teacher would gain more"
        )
    return miou
