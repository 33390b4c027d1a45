"""mIoU."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compress.data.dataset import IGNORE
from compress.evaluation.metrics import confusion, iou_per_class, mean_iou


@given(st.integers(0, 1000))
def test_miou_equals_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, 4, (2, 1, 9, 9))
    truth[0, 0] = IGNORE
    counts = confusion(torch.from_numpy(predicted), torch.from_numpy(truth), 4, IGNORE)
    seen = truth != IGNORE
    expected = [
        ((truth == c) & (predicted == c) & seen).sum() / (((truth == c) | (predicted == c)) & seen).sum()
        for c in range(4)
        if (((truth == c) | (predicted == c)) & seen).any()
    ]
    assert mean_iou(counts) == pytest.approx(np.mean(expected))


def test_a_coarse_class_map_is_enlarged_by_nearest_neighbour() -> None:
    coarse = torch.tensor([[[0, 1], [2, 0]]])
    fine = coarse.repeat_interleave(2, 1).repeat_interleave(2, 2)
    counts = confusion(coarse, fine, 3, IGNORE)
    assert torch.equal(iou_per_class(counts), torch.ones(3, dtype=torch.double))


def test_a_class_that_never_occurs_does_not_count() -> None:
    truth = torch.zeros(1, 2, 2, dtype=torch.long)
    assert mean_iou(confusion(truth, truth, 3, IGNORE)) == 1.0
