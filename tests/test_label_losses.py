"""Losses on labels: each against loops in numpy, and the laws that all of them hold."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from compress.data.dataset import IGNORE
from compress.training.class_weights import CLASS_WEIGHTS, class_weights, effective_weights
from compress.training.label_losses import BOUNDARY_WEIGHT, LABEL_TERMS, cross_entropy, label_loss, pixel_losses
from compress.training.term_weights import parse_terms
from search_spaces.errors import InputError

CLASSES = 4
SEEDS = st.integers(0, 10**6)
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 3.0])


def example(seed: int, side: int = 16) -> tuple[Tensor, Tensor]:
    """Random logits 2,4,side,side; masks of 4-pixel blocks with two void rows."""
    rng = np.random.default_rng(seed)
    masks = np.kron(rng.integers(0, CLASSES, (2, side // 4, side // 4)), np.ones((1, 4, 4))).astype(np.int64)
    masks[:, :2] = IGNORE
    logits = torch.from_numpy(3 * rng.standard_normal((2, CLASSES, side, side)).astype(np.float32))
    return logits, torch.from_numpy(masks)


def loss_of(name: str, logits: Tensor, masks: Tensor, weights: Tensor | None = WEIGHTS) -> Tensor:
    return LABEL_TERMS[name][0](logits, masks, IGNORE, weights)


def pixels(logits: Tensor, masks: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """P,classes probabilities and P classes of the labelled pixels, one after the other."""
    x, truth = logits.double().numpy().transpose(0, 2, 3, 1).reshape(-1, CLASSES), masks.numpy().ravel()
    powers = np.exp(x - x.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True))[truth != IGNORE], truth[truth != IGNORE]


def slow_ohem(logits: Tensor, masks: Tensor) -> float:
    p, truth = pixels(logits, masks)
    of_class = [row[c] for row, c in zip(p, truth, strict=True)]
    hard = sorted(range(len(p)), key=lambda i: of_class[i])
    kept = [i for rank, i in enumerate(hard) if rank < np.ceil(len(p) / 16) or of_class[i] <= 0.7]
    weights = [WEIGHTS[truth[i]].item() for i in kept]
    return float(np.average([-np.log(of_class[i]) for i in kept], weights=weights))


def slow_focal(logits: Tensor, masks: Tensor) -> float:
    p, truth = pixels(logits, masks)
    each = [(1 - row[c]) ** 2 * -np.log(row[c]) for row, c in zip(p, truth, strict=True)]
    return float(np.average(each, weights=[WEIGHTS[c].item() for c in truth]))


def slow_boundary(logits: Tensor, masks: Tensor) -> float:
    each = pixel_losses(logits, masks, IGNORE).numpy()
    total = count = 0.0
    for i, y, x in np.ndindex(masks.shape):
        if masks[i, y, x] == IGNORE:
            continue
        near = masks[i, max(0, y - 3) : y + 4, max(0, x - 3) : x + 4].numpy()
        weight = WEIGHTS[masks[i, y, x]].item() * (BOUNDARY_WEIGHT if len(set(near[near != IGNORE])) > 1 else 1.0)
        total, count = total + weight * each[i, y, x], count + weight
    return total / count


def slow_dice(logits: Tensor, masks: Tensor) -> float:
    p, truth = pixels(logits, masks)
    found = [2 * p[truth == c, c].sum() / (p[:, c].sum() + (truth == c).sum()) for c in np.unique(truth)]
    return float(1 - np.mean(found))


def slow_lovasz(logits: Tensor, masks: Tensor) -> float:
    """Berman et al. 2018, algorithm 1: errors in falling order, each times the IoU that it costs."""
    p, truth = pixels(logits, masks)
    found = []
    for c in np.unique(truth):
        errors = np.abs((truth == c) - p[:, c])
        order = np.argsort(-errors, kind="stable")
        total, missed, wrong, before, loss = (truth == c).sum(), 0, 0, 0.0, 0.0
        for i in order:
            missed, wrong = missed + (truth[i] == c), wrong + (truth[i] != c)
            jaccard = 1 - (total - missed) / (total + wrong)
            loss, before = loss + errors[i] * (jaccard - before), jaccard
        found.append(loss)
    return float(np.mean(found))


def slow_ce(logits: Tensor, masks: Tensor) -> float:
    p, truth = pixels(logits, masks)
    each = [-np.log(row[c]) for row, c in zip(p, truth, strict=True)]
    return float(np.average(each, weights=[WEIGHTS[c].item() for c in truth]))


ORACLES: dict[str, Callable[[Tensor, Tensor], float]] = {
    "ce": slow_ce,
    "ohem": slow_ohem,
    "focal": slow_focal,
    "boundary": slow_boundary,
    "dice": slow_dice,
    "lovasz": slow_lovasz,
}


@pytest.mark.parametrize("name", LABEL_TERMS)
@given(SEEDS, st.sampled_from([1.0, 0.1]))
@settings(max_examples=5, deadline=None)
def test_a_loss_equals_its_formula_in_loops(name: str, seed: int, sureness: float) -> None:
    logits, masks = example(seed)
    if sureness < 1:  # most pixels right, so that few are hard
        logits = logits * sureness + 4 * torch.eye(CLASSES)[masks.where(masks != IGNORE, 0)].movedim(-1, 1)
    assert loss_of(name, logits, masks).item() == pytest.approx(ORACLES[name](logits, masks), 1e-4)


@pytest.mark.parametrize("name", LABEL_TERMS)
@given(SEEDS)
@settings(max_examples=5, deadline=None)
def test_right_costs_nothing_and_wrong_much(name: str, seed: int) -> None:
    _, masks = example(seed)
    right = 50 * torch.eye(CLASSES)[masks.where(masks != IGNORE, 0)].movedim(-1, 1)
    assert loss_of(name, right, masks).item() == pytest.approx(0, abs=1e-4)
    assert loss_of(name, -right, masks).item() > 0.5


@pytest.mark.parametrize("name", LABEL_TERMS)
@given(SEEDS)
@settings(max_examples=5, deadline=None)
def test_void_has_no_influence(name: str, seed: int) -> None:
    logits, masks = example(seed)
    void = (masks == IGNORE)[:, None]
    logits.requires_grad_()
    loss = loss_of(name, logits, masks)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.masked_select(void).abs().sum() == 0
    assert logits.grad.abs().sum() > 0
    other = (logits + 10 * torch.randn_like(logits) * void).detach()
    torch.testing.assert_close(loss_of(name, other, masks), loss.detach())


@pytest.mark.parametrize("name", LABEL_TERMS)
@pytest.mark.parametrize("scale", [1.0, 200.0])  # 200: probabilities are exactly 0 and 1
def test_gradients_are_finite_where_classes_are_absent(name: str, scale: float) -> None:
    logits, masks = example(1)
    logits = (logits * scale).requires_grad_()
    only_two = masks.where(masks == IGNORE, masks % 2)
    loss_of(name, logits, only_two).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", LABEL_TERMS)
def test_small_logits_are_enlarged_to_masks_of_any_shape(name: str) -> None:
    logits = example(2)[0][:, :, :, :12].requires_grad_()
    masks = example(2, side=32)[1][:, :, :24]
    loss = loss_of(name, logits, masks, weights=None)
    loss.backward()
    assert loss.ndim == 0
    assert logits.grad is not None
    assert (logits.grad.abs().sum((0, 1)) > 0).float().mean() > 0.5


def test_terms_add_up_and_void_alone_costs_nothing() -> None:
    logits, masks = example(3)
    logits.requires_grad_()
    loss = label_loss(parse_terms("ce,dice=0.5,lovasz=2", LABEL_TERMS), IGNORE, WEIGHTS)
    parts = loss_of("ce", logits, masks), loss_of("dice", logits, masks), loss_of("lovasz", logits, masks)
    torch.testing.assert_close(loss(logits, masks), parts[0] + 0.5 * parts[1] + 2 * parts[2])
    nothing = loss(logits, torch.full_like(masks, IGNORE))
    nothing.backward()
    assert nothing == 0
    assert logits.grad is not None
    assert logits.grad.abs().sum() == 0


def test_cross_entropy_alone_is_torchs_to_the_bit() -> None:
    logits, masks = example(4)
    loss = label_loss(parse_terms("ce", LABEL_TERMS), IGNORE, WEIGHTS)(logits, masks)
    assert torch.equal(loss, torch.nn.functional.cross_entropy(logits, masks, WEIGHTS, ignore_index=IGNORE))


@pytest.mark.parametrize("name", CLASS_WEIGHTS)
@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=20).filter(lambda counts: sum(counts) > 100))
@settings(max_examples=20, deadline=None)
def test_class_weights_are_finite_one_in_the_mean_and_never_less_for_rarer(name: str, counts: list[int]) -> None:
    found = class_weights(name, np.array(counts)).numpy()
    assert np.isfinite(found).all()
    assert (found * counts).sum() / np.sum(counts) == pytest.approx(1, 1e-3)
    assert (np.diff(found[np.argsort(counts)]) <= 1e-4 * found.max()).all()


def test_effective_numbers_are_cuis_and_know_no_unit() -> None:
    counts = np.array([3.0, 40.0, 500.0, 57.0])
    beta = 1 - 1 / 150
    np.testing.assert_allclose(effective_weights(counts), (1 - beta) / (1 - beta**counts))
    many = counts * 1e6
    np.testing.assert_allclose(class_weights("effective", many), class_weights("effective", counts * 1e3), rtol=1e-3)


@pytest.mark.parametrize(
    ("text", "said"),
    [("kl", "'kl' is none; choose from ce, ohem, focal, boundary, dice, lovasz"), ("dice=-1", "the weight '-1'")],
)
def test_a_loss_that_is_none_is_named(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_terms(text, LABEL_TERMS)


def test_cross_entropy_ignores_void() -> None:
    logits = torch.randn(1, 3, 2, 2)
    mask = torch.tensor([[[0, IGNORE], [IGNORE, IGNORE]]])
    expected = torch.nn.functional.cross_entropy(logits[:, :, 0, 0], torch.tensor([0]))
    torch.testing.assert_close(cross_entropy(logits, mask, IGNORE), expected)
