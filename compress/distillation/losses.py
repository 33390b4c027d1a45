"""Distillation losses as plain functions.

A distillation loss compares a student's N,classes,h,w logits with a teacher's, which may have another height and width.
It is zero where they are equal. Losses against labels are in `compress.training.label_losses`; losses between layers
are in `compress.distillation.layer_distillation`.
"""

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from compress.training.terms import Terms, boundary_pixels, match

PAIR_REGIONS = 8  # regions a side that `pairwise` compares


def distillation(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """KL divergence of softened class distributions, mean over pixels (Hinton et al. 2015).

    Args:
        student: N,classes,h,w logits.
        teacher: N,classes,h',w' logits.
        temperature: Divides the logits.

    Returns:
        The loss.
    """
    teacher = match(teacher, student)
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher / temperature, dim=1)
    pixels = student.numel() / student.shape[1]
    return F.kl_div(log_student, log_teacher, reduction="sum", log_target=True) * temperature**2 / pixels


def channel_wise(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    """KL divergence of each class's map, softened over its pixels (channel-wise distillation, Shu et al. 2021).

    It is the mean over the N * classes maps. A constant added to a map changes nothing: only where a class is likelier
    counts.

    Args:
        student: N,classes,h,w logits.
        teacher: N,classes,h',w' logits.
        temperature: Divides the logits.

    Returns:
        The loss.
    """
    teacher = match(teacher, student)
    log_student = F.log_softmax(student.flatten(2) / temperature, dim=2)  # N,classes,h*w
    log_teacher = F.log_softmax(teacher.flatten(2) / temperature, dim=2)
    maps = student.shape[0] * student.shape[1]
    return F.kl_div(log_student, log_teacher, reduction="sum", log_target=True) * temperature**2 / maps


def relational(student: Tensor, teacher: Tensor) -> Tensor:
    """One minus Pearson's correlation of class probabilities (DIST, Huang et al. 2022).

    Two correlations are added: between the classes of a pixel (mean over pixels) and between the pixels of a class
    (mean over classes).

    Args:
        student: N,classes,h,w logits.
        teacher: N,classes,h',w' logits.

    Returns:
        The loss.
    """
    of_student = student.softmax(1).transpose(0, 1).flatten(1)  # classes,N*h*w
    of_teacher = match(teacher, student).softmax(1).transpose(0, 1).flatten(1)
    return uncorrelated(of_student.T, of_teacher.T) + uncorrelated(of_student, of_teacher)


def uncorrelated(one: Tensor, other: Tensor) -> Tensor:
    """One minus Pearson's correlation of matching rows, mean over rows.

    A positive factor or a constant for a row changes nothing.

    Args:
        one: rows,columns.
        other: rows,columns.

    Returns:
        The loss.
    """
    one, other = (rows - rows.mean(1, keepdim=True) for rows in (one, other))
    return (1 - F.cosine_similarity(one, other, dim=1)).mean()


def pairwise(student: Tensor, teacher: Tensor, regions: int = PAIR_REGIONS) -> Tensor:
    """Mean squared difference of the similarities between regions (pair-wise distillation, Liu et al. 2019).

    A region is the mean of its pixels; the similarity of two regions is the cosine between their class vectors. A
    positive factor for all logits of a network, or a rotation of them, changes nothing.

    Args:
        student: N,classes,h,w logits.
        teacher: N,classes,h',w' logits.
        regions: Regions a side.

    Returns:
        The loss.
    """
    return F.mse_loss(similarities(student, regions), similarities(teacher, regions))


def similarities(logits: Tensor, regions: int) -> Tensor:
    """Cosines between the class vectors of average-pooled regions.

    Args:
        logits: N,classes,h,w.
        regions: Regions a side.

    Returns:
        N,regions²,regions² cosines.
    """
    vectors = F.normalize(F.adaptive_avg_pool2d(logits, regions).flatten(2), dim=1)  # N,classes,regions²
    return vectors.transpose(1, 2) @ vectors


def boundary(student: Tensor, teacher: Tensor, masks: Tensor, ignore: int) -> Tensor:
    """KL divergence over the boundary pixels alone, after BPKD (Liu et al. 2023).

    Logits are enlarged to the masks' size, so that boundaries are those of the full resolution.

    Args:
        student: N,classes,h,w logits.
        teacher: N,classes,h',w' logits.
        masks: N,H,W classes.
        ignore: The value of void pixels.

    Returns:
        The loss; 0 without boundary pixels.
    """
    edge = boundary_pixels(masks, ignore)
    log_student, log_teacher = (F.log_softmax(match(logits, masks), dim=1) for logits in (student, teacher))
    divergence = F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(1)
    return (divergence * edge).sum() / edge.sum().clamp_min(1)


DISTILLATION_TERMS: Terms = {  # of (student, teacher, masks, ignore)
    "kl": (lambda student, teacher, masks, ignore: distillation(student, teacher), 1.0),
    "cwd": (lambda student, teacher, masks, ignore: channel_wise(student, teacher), 3.0),
    "dist": (lambda student, teacher, masks, ignore: relational(student, teacher), 1.0),
    "skd": (lambda student, teacher, masks, ignore: pairwise(student, teacher), 10.0),
    "boundary": (boundary, 1.0),
}
# Losses between layers (`compress.distillation.layer_distillation`): nni's class and the usual weight.
LAYER_DISTILLERS = {"dynamic": ("DynamicLayerwiseDistiller", 1.0), "adaptive": ("Adaptive1dLayerwiseDistiller", 1.0)}
TEACHING_TERMS: Mapping[str, tuple[object, float]] = {**DISTILLATION_TERMS, **LAYER_DISTILLERS}
