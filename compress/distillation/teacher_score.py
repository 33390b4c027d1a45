"""How accurate a teacher is on the validation split."""

import torch

from compress.data.validation import Validation
from compress.distillation.teachers import Teacher
from compress.evaluation.metrics import confusion, mean_iou
from search_spaces.errors import InputError


@torch.no_grad()
def teacher_miou(
    teacher: Teacher, name: str, validation: Validation, classes: int, input_size: tuple[int, int], device: torch.device
) -> float:
    """Runs a teacher over the validation split at the input size.

    Args:
        teacher: The teacher.
        name: What `--teacher` names, for messages.
        validation: The split.
        classes: The number of classes of the data.
        input_size: The run's input size (H, W) in pixels.
        device: The training device.

    Returns:
        The mIoU (0..1).

    Raises:
        InputError: A logit is not finite, or the teacher fails on a validation image.
    """
    total = torch.zeros(classes, classes, dtype=torch.long, device=device)
    for images, masks in validation.batches(input_size):
        try:
            logits = teacher(images.to(device))
        except Exception as error:  # whatever a foreign program raises
            what = " ".join(str(error).split())[:200]
            raise InputError(
                f"--teacher {name}: it fails on validation images {tuple(images.shape)} "
                f"({type(error).__name__}: {what}); export it for images N,{images.shape[1]},H,W of any N, H and W"
            ) from error
        if not bool(torch.isfinite(logits).all()):
            raise InputError(
                f"--teacher {name}: its logits on the validation split are not finite; name another teacher"
            )
        total += confusion(logits.argmax(1), masks.to(device), classes, validation.ignore)
    return mean_iou(total)
