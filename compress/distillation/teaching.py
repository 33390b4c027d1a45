"""What a student is trained with beside the labels: a teacher, and the losses that compare the two."""

from collections.abc import Mapping
from dataclasses import dataclass

from compress.distillation.layer_distillation import LayerDistillation
from compress.distillation.teachers import Teacher


@dataclass(frozen=True)
class Teaching:
    """A teacher and what is learned from it.

    Attributes:
        teacher: The function of images to logits.
        terms: The weight of each loss on logits, by its name in DISTILLATION_TERMS.
        training_key: Text that differs when the teacher or the losses differ; a checkpoint keeps it.
        features: The layers to compare beside the logits.
    """

    teacher: Teacher
    terms: Mapping[str, float]
    training_key: str
    features: LayerDistillation | None = None
