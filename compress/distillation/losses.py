"""Distillation losses as plain functions.

A distillation loss compares a student's N,classes,h,w logits with a teacher's of any height and width, and is zero
where they are equal. Losses against labels: `compress.training.label_losses`.
"""

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from compress.training.terms import Terms, boundary_pixels, match

PAIR_NODES = 8  # regions a side between which `pairwise` compares


def distillation(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """KL divergence of softened class distributions, mean over pixels (Hinton et al. 2015)."""
    teacher = match(teacher, student)
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher / temperature, dim=1)
    pixels = student.numel() / student.shape[1]
    return F.kl_div(log_student, log_teacher, reduction="sum", log_target=True) * temperature**2 / pixels


def channel_wise(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    """KL divergence of each class's map softened over its pixels, mean over the N * classes maps (CWD, Shu et al.
    2021). A constant added to a map changes nothing: what counts is where the class is likelier."""
    teacher = match(teacher, student)
    log_student = F.log_softmax(student.flatten(2) / temperature, dim=2)  # N,classes,h*w
    log_teacher = F.log_softmax(teacher.flatten(2) / temperature, dim=2)
    maps = student.shape[0] * student.shape[1]
    return F.kl_div(log_student, log_teacher, reduction="sum", log_target=True) * temperature**2 / maps


def relational(student: Tensor, teacher: Tensor) -> Tensor:
    """One less Pearson's correlation of class probabilities, between the classes of a pixel (mean over pixels) and
    between the pixels of a class (mean over classes), summed (DIST, Huang et al. 2022)."""
    of_student = student.softmax(1).transpose(0, 1).flatten(1)  # classes,N*h*w
    of_teacher = match(teacher, student).softmax(1).transpose(0, 1).flatten(1)
    return uncorrelated(of_student.T, of_teacher.T) + uncorrelated(of_student, of_teacher)


def uncorrelated(one: Tensor, other: Tensor) -> Tensor:
    """1 - Pearson's correlation of matching rows, mean over rows. Scaling a row by a positive factor or adding a
    constant to it changes nothing."""
    one, other = (rows - rows.mean(1, keepdim=True) for rows in (one, other))
    return (1 - F.cosine_similarity(one, other, dim=1)).mean()


def pairwise(student: Tensor, teacher: Tensor, nodes: int = PAIR_NODES) -> Tensor:
    """Mean squared difference of the cosine similarities between every two of nodes * nodes regions, each the mean of
    its pixels (pair-wise distillation, Liu et al. 2019). Scaling all logits of a network or turning their space
    changes nothing."""
    return F.mse_loss(similarities(student, nodes), similarities(teacher, nodes))


def similarities(logits: Tensor, nodes: int) -> Tensor:
    """N,nodes²,nodes² cosines between the class vectors of average-pooled regions."""
    regions = F.normalize(F.adaptive_avg_pool2d(logits, nodes).flatten(2), dim=1)  # N,classes,nodes²
    return regions.transpose(1, 2) @ regions


def boundary(student: Tensor, teacher: Tensor, masks: Tensor, ignore: int) -> Tensor:
    """`distillation` over the boundary pixels of N,H,W masks alone, after BPKD (Liu et al. 2023); zero without any.

    Logits are enlarged to the masks' size: a boundary is a matter of full resolution.
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


# of layers (`compress.distillation.features`): nni's class; the usual weight
LAYER_DISTILLERS = {"dynamic": ("DynamicLayerwiseDistiller", 1.0), "adaptive": ("Adaptive1dLayerwiseDistiller", 1.0)}
TEACHING_TERMS: Mapping[str, tuple[object, float]] = {**DISTILLATION_TERMS, **LAYER_DISTILLERS}
