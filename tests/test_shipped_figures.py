"""What export records of the files an app ships: start, memory, sizes, and each class by itself."""

import json
from pathlib import Path

import pytest
import torch

from compress.evaluation.metrics import iou_per_class, share_per_class
from compress.files.tensors import load_network
from compress.latency.cold_start import COLD_STARTS, cold_start_ms
from compress.latency.targets import HostTarget, SshTarget
from compress.stages.run import open_run
from compress.stages.shipped_figures import class_figures
from compress.stages.shipped_files import SHIPPED
from compress.tflite.writer import random_weight_model
from compress.verify import format_figure
from search_spaces import costs
from search_spaces.genotype import Genotype
from search_spaces.network import Network


def test_export_records_start_memory_sizes_and_classes(whole: Path) -> None:
    run = open_run(whole)
    exported = run.metrics("export")
    assert exported["cold_start_ms"] > 0
    assert exported["arena_bytes"] == costs.arena_bytes(load_network(whole / "quantize" / "network.pt").graph)
    assert exported["file_bytes"] == {name: (whole / name).stat().st_size for name in SHIPPED}
    assert exported["file_bytes"]["model.tflite"] == exported["size_bytes"]
    assert list(exported["classes"]) == list(run.data.classes)
    ious = [figures["iou"] for figures in exported["classes"].values() if figures["iou"] is not None]
    assert sum(ious) / len(ious) == pytest.approx(exported["miou"])
    assert sum(figures["share"] for figures in exported["classes"].values()) == pytest.approx(1)
    json.dumps(exported, allow_nan=False)


def test_a_class_that_never_occurs_has_no_iou_and_no_share(whole: Path) -> None:
    counts = torch.tensor([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    figures = class_figures(open_run(whole), counts)
    first, _, last = figures.values()
    assert first == {"iou": 0.75, "share": 0.5}
    assert last == {"iou": None, "share": 0.0}
    assert share_per_class(torch.zeros(3, 3)).tolist() == [0, 0, 0]
    assert iou_per_class(counts)[1] == pytest.approx(0.8)


def test_a_cold_start_is_a_new_interpreter_and_its_first_run(tiny: Genotype, monkeypatch: pytest.MonkeyPatch) -> None:
    from compress.latency import cold_start

    loaded = []
    real = cold_start.load
    monkeypatch.setattr(cold_start, "load", lambda model, threads: loaded.append(threads) or real(model, threads))
    model = random_weight_model(Network(tiny).graph)
    assert cold_start_ms(model, 1) > 0 and loaded == [1] * COLD_STARTS
    assert (HostTarget().cold_start_ms(model) or 0) > 0
    assert SshTarget(destination="nobody@nowhere").cold_start_ms(model) is None


def test_verify_prints_nested_figures_in_a_line_each() -> None:
    assert format_figure({"iou": None, "share": 0.25}) == "iou None, share 0.2500"
    assert (format_figure(7), format_figure(["a"])) == ("7", "['a']")
