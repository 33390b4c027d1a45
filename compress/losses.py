"""Losses as plain functions of N,classes,h,w logits."""

from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits: Tensor, masks: Tensor, ignore: int, weights: Tensor | None = None) -> Tensor:
    """Per-pixel cross entropy against N,H,W masks, logits enlarged to their size; `weights` are per class."""
    return F.cross_entropy(match(logits, masks), masks, weights, ignore_index=ignore)


def distillation(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """KL divergence of softened class distributions, mean over pixels (Hinton et al. 2015)."""
    teacher = match(teacher, student)
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher / temperature, dim=1)
    pixels = student.numel() / student.shape[1]
    return F.kl_div(log_student, log_teacher, reduction="sum", log_target=True) * temperature**2 / pixels


def match(logits: Tensor, like: Tensor) -> Tensor:
    """Logits at the height and width of `like`, bilinear with half-pixel centres."""
    size = like.shape[-2:]
    if logits.shape[-2:] == size:
        return logits
    return F.interpolate(logits, size, mode="bilinear", align_corners=False)
