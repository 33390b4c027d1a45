"""Data sets of many and of large files: what is kept of them in memory."""

from pathlib import Path
from types import SimpleNamespace

import big_sets
import numpy as np
import onnxruntime
import pytest
import torch

from compress.data.check import check
from compress.data.dataset import open_data
from compress.data.validation import Validation
from compress.evaluation.onnx_file import run_onnx


@pytest.mark.parametrize("name", ["voc", "ade20k", pytest.param("cityscapes", marks=pytest.mark.slow)])
def test_the_generated_sets_are_of_their_layouts(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    big_sets.write_set(tmp_path / "data", big_sets.SETS[name], 0)
    data = open_data(f"{big_sets.SETS[name].layout}:{tmp_path / 'data'}")
    assert (len(data.train), len(data.val)) == (20, 4)
    findings = check(data)
    assert set(findings.statistics["train"].sizes) == {big_sets.SETS[name].size}
    assert not findings.copies.files


def test_class_maps_of_onnx_take_a_byte_a_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argmax has eight: 500 maps of 1024x2048 took 8 GiB."""
    session = SimpleNamespace(run=lambda *_: [np.ones((1, 4, 4), np.int64)])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: session)
    images = torch.zeros(3, 3, 4, 4, dtype=torch.uint8)
    maps = run_onnx(Path("model.onnx"), (4, 4), Validation(images, images[:, 0]), 3)
    assert [(found.dtype, found.nbytes) for found in maps] == [(np.dtype(np.uint8), 16)] * 3
