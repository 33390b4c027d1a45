"""Distillation losses: each against loops in numpy, and the laws that its paper claims."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from compress.data.dataset import IGNORE
from compress.distillation.losses import (
    DISTILLATION_TERMS,
    boundary,
    channel_wise,
    distillation,
    pairwise,
    relational,
    uncorrelated,
)
from compress.training.term_weights import parse_terms
from compress.training.terms import boundary_pixels, weighted_sum
from search_spaces.errors import InputError

Loss = Callable[[Tensor, Tensor], Tensor]
SEEDS = st.integers(0, 10**6)


def logits(seed: int, classes: int = 4, side: int = 8) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    one, other = (3 * torch.randn(2, classes, side, side, generator=rng) for _ in range(2))
    return one, other


def masks(seed: int, classes: int = 4, side: int = 16) -> Tensor:
    blocks = np.random.default_rng(seed).integers(0, classes, (2, 4, 4))
    mask = np.kron(blocks, np.ones((1, side // 4, side // 4))).astype(np.int64)
    mask[:, :2] = IGNORE
    return torch.from_numpy(mask)


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def divergence(of_student: np.ndarray, of_teacher: np.ndarray) -> float:
    return float(sum(t * np.log(t / s) for s, t in zip(of_student, of_teacher, strict=True)))


def slow_kl(s: np.ndarray, t: np.ndarray) -> float:
    n, _, h, w = s.shape
    places = [(i, y, x) for i in range(n) for y in range(h) for x in range(w)]
    return float(np.mean([divergence(softmax(s[i, :, y, x]), softmax(t[i, :, y, x])) for i, y, x in places]))


def slow_cwd(s: np.ndarray, t: np.ndarray) -> float:
    maps = [(i, c) for i in range(s.shape[0]) for c in range(s.shape[1])]
    found = [divergence(softmax(s[i, c].ravel() / 4), softmax(t[i, c].ravel() / 4)) for i, c in maps]
    return 16 * float(np.mean(found))


def slow_dist(s: np.ndarray, t: np.ndarray) -> float:
    def probabilities(x: np.ndarray) -> np.ndarray:
        pixels = x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])
        return np.stack([softmax(pixel) for pixel in pixels])

    a, b = probabilities(s), probabilities(t)
    inter = np.mean([1 - np.corrcoef(a[i], b[i])[0, 1] for i in range(len(a))])
    intra = np.mean([1 - np.corrcoef(a[:, c], b[:, c])[0, 1] for c in range(a.shape[1])])
    return float(inter + intra)


def slow_skd(s: np.ndarray, t: np.ndarray) -> float:
    def cosines(x: np.ndarray) -> np.ndarray:
        found = []
        for image in x:
            c, h, w = image.shape
            nodes = image.reshape(c, 8, h // 8, 8, w // 8).mean((2, 4)).reshape(c, 64)
            nodes = nodes / np.linalg.norm(nodes, axis=0)
            found.append(np.array([[nodes[:, i] @ nodes[:, j] for j in range(64)] for i in range(64)]))
        return np.stack(found)

    return float(np.mean((cosines(s) - cosines(t)) ** 2))


ORACLES: dict[str, tuple[Loss, Callable[[np.ndarray, np.ndarray], float]]] = {
    "kl": (distillation, slow_kl),
    "cwd": (channel_wise, slow_cwd),
    "dist": (relational, slow_dist),
    "skd": (pairwise, slow_skd),
}


@pytest.mark.parametrize("name", ORACLES)
@given(SEEDS)
@settings(max_examples=5, deadline=None)
def test_a_loss_equals_its_formula_in_loops(name: str, seed: int) -> None:
    fast, slow = ORACLES[name]
    student, teacher = logits(seed)
    assert fast(student, teacher).item() == pytest.approx(
        slow(student.double().numpy(), teacher.double().numpy()), 1e-4
    )


def test_boundary_equals_its_formula_in_loops() -> None:
    student, teacher = logits(3, side=16)
    truth = masks(3).numpy()
    found = []
    for i, y, x in np.ndindex(truth.shape):
        near = truth[i, max(0, y - 3) : y + 4, max(0, x - 3) : x + 4]
        if truth[i, y, x] != IGNORE and len(set(near[near != IGNORE])) > 1:
            found.append(divergence(softmax(student[i, :, y, x].numpy()), softmax(teacher[i, :, y, x].numpy())))
    assert 0 < len(found) < truth.size
    assert boundary(student, teacher, torch.from_numpy(truth), IGNORE).item() == pytest.approx(np.mean(found), 1e-4)


@pytest.mark.parametrize("name", DISTILLATION_TERMS)
@given(SEEDS)
@settings(max_examples=5, deadline=None)
def test_zero_where_the_student_is_the_teacher_and_nowhere_below(name: str, seed: int) -> None:
    student, teacher = logits(seed)
    term = DISTILLATION_TERMS[name][0]
    assert term(student, student, masks(seed), IGNORE).item() == pytest.approx(0, abs=1e-5)
    assert term(student, teacher, masks(seed), IGNORE).item() > 1e-3


@pytest.mark.parametrize("name", DISTILLATION_TERMS)
def test_a_teacher_of_another_size_teaches_every_logit(name: str) -> None:
    student = logits(1)[0].requires_grad_()
    teacher = logits(2, side=12)[1]
    DISTILLATION_TERMS[name][0](student, teacher, masks(1), IGNORE).backward()
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
    assert student.grad.abs().sum() > 0


@given(SEEDS, st.floats(-5, 5), st.floats(0.1, 10))
@settings(max_examples=10, deadline=None)
def test_what_changes_nothing(seed: int, offset: float, factor: float) -> None:
    """Logits: one constant for a pixel (kl, dist), one for a map (cwd), a positive factor or a rotation for all (skd).
    Probabilities: a positive factor and a constant for each row (Pearson's distance)."""
    student, teacher = logits(seed)
    per_pixel = student + offset * torch.rand(2, 1, 8, 8)
    per_map = student + offset * torch.rand(2, 4, 1, 1)
    rotation = torch.linalg.qr(torch.randn(4, 4))[0]
    rotated = torch.einsum("dc,nchw->ndhw", rotation, student) * factor
    same = {"rtol": 1e-3, "atol": 1e-5}
    torch.testing.assert_close(distillation(per_pixel, teacher), distillation(student, teacher), **same)
    torch.testing.assert_close(relational(per_pixel, teacher), relational(student, teacher), **same)
    torch.testing.assert_close(channel_wise(per_map, teacher), channel_wise(student, teacher), **same)
    torch.testing.assert_close(pairwise(rotated, teacher), pairwise(student, teacher), **same)
    rows, others = student[0].flatten(1), teacher[0].flatten(1)
    moved = rows * factor + offset * torch.rand(4, 1)
    torch.testing.assert_close(uncorrelated(moved, others), uncorrelated(rows, others), **same)


def test_the_boundary_loss_sees_boundaries_alone() -> None:
    student, teacher = logits(5, side=16)
    truth = masks(5)
    inside = ~boundary_pixels(truth, IGNORE)[:, None]
    changed = student + 5 * torch.randn_like(student) * inside
    assert torch.equal(boundary(changed, teacher, truth, IGNORE), boundary(student, teacher, truth, IGNORE))
    assert boundary(student, teacher, torch.zeros_like(truth), IGNORE) == 0
    assert boundary(student, teacher, torch.full_like(truth, IGNORE), IGNORE) == 0


def test_terms_are_parsed_with_their_papers_weights() -> None:
    assert parse_terms("kl", DISTILLATION_TERMS) == {"kl": 1.0}
    assert parse_terms("cwd, skd=0.5,dist", DISTILLATION_TERMS) == {"cwd": 3.0, "skd": 0.5, "dist": 1.0}
    student, teacher = logits(1)
    total = weighted_sum({"kl": 2.0, "cwd": 0.5}, DISTILLATION_TERMS, student, teacher, masks(1), IGNORE)
    torch.testing.assert_close(total, 2 * distillation(student, teacher) + 0.5 * channel_wise(student, teacher))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hinton", "'hinton' is none; choose from kl, cwd, dist, skd, boundary"),
        ("", "'' is none"),
        ("kl=much", "kl has the weight 'much'"),
        ("kl=-1", "kl has the weight '-1'"),
        ("cwd=nan", "cwd has the weight 'nan'"),
        ("kl=", "kl has the weight ''"),
    ],
)
def test_a_loss_that_is_none_is_named(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_terms(text, DISTILLATION_TERMS)


def test_distillation_is_zero_only_for_the_teachers_own_output() -> None:
    logits = torch.randn(2, 3, 4, 4)
    assert distillation(logits, logits) == pytest.approx(0, abs=1e-6)
    assert distillation(logits, logits.flip(1)) > 0.01
