"""What export records of the files an app ships: start, memory, sizes, and each class by itself."""

import json
from pathlib import Path

import pytest
import torch
from commands import Command

import compress.verify
from compress.evaluation.metrics import iou_per_class, mean_iou, share_per_class
from compress.files.records import read_record, write_record
from compress.files.tensors import load_network
from compress.latency.cold_start import COLD_STARTS, cold_start_ms
from compress.latency.targets import HostTarget, SshTarget
from compress.stages.run import open_run
from compress.stages.shipped_figures import class_figures, mean_over
from compress.stages.shipped_files import SHIPPED
from compress.tflite.writer import random_weight_model
from compress.verify import format_figure
from nas.pages.tables import remarks
from nas.pipeline import summary
from nas.result import make_result
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


PERFECT = torch.tensor([[1000, 0, 0], [0, 1000, 0], [0, 0, 0]])
STRAY = torch.tensor([[1000, 0, 0], [0, 999, 1], [0, 0, 0]])  # one pixel of a class that no mask has


def test_an_miou_says_over_which_classes_it_is_the_mean(whole: Path) -> None:
    run = open_run(whole)
    last = run.data.classes[-1]
    assert (mean_iou(PERFECT), mean_iou(STRAY)) == (1, pytest.approx(0.67, abs=0.01))
    assert mean_over(class_figures(run, PERFECT)) == " (mean over 2 of 3 classes)"
    assert mean_over(class_figures(run, STRAY)) == f" (IoU 0 of {last}: predicted, but in no validation mask)"
    assert mean_over(class_figures(run, torch.eye(3))) == mean_over({}) == ""
    many = {f"c{i}": {"iou": 0.0, "share": 0.0} for i in range(5)} | {"none": {"iou": None, "share": 0.0}}
    assert mean_over(many) == (
        " (mean over 5 of 6 classes; IoU 0 of c0, c1, c2 and 2 more: predicted, but in no validation mask)"
    )


def test_the_end_of_a_run_says_over_which_classes_its_miou_is_the_mean(
    copied: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = copied / "export" / "metrics.json"
    figures = class_figures(open_run(copied), PERFECT)
    write_record(record, {**read_record(record, ""), "miou": 1.0, "classes": figures})
    run = open_run(copied)
    assert ": mIoU 1.0000 (mean over 2 of 3 classes), " in summary(run, make_result(run))
    assert "mIoU of the exported file: mean over 2 of 3 classes." in remarks(run)
    monkeypatch.setattr("compress.stages.verify.verify", lambda run: {"miou": 1.0, "classes": figures})
    code, out, err = command(compress.verify.main, copied)
    assert code == 0, err
    assert " ".join(out.splitlines()[0].split()) == "miou 1.0000 (mean over 2 of 3 classes)"


def test_a_cold_start_is_a_new_interpreter_and_its_first_run(tiny: Genotype, monkeypatch: pytest.MonkeyPatch) -> None:
    from compress.latency import cold_start

    loaded = []
    real = cold_start.load
    monkeypatch.setattr(cold_start, "load", lambda model, threads: loaded.append(threads) or real(model, threads))
    model = random_weight_model(Network(tiny).graph)
    assert cold_start_ms(model, 1, [0]) > 0 and loaded == [1] * COLD_STARTS
    assert (HostTarget().cold_start_ms(model) or 0) > 0
    assert SshTarget(destination="nobody@nowhere").cold_start_ms(model) is None


def test_verify_prints_nested_figures_in_a_line_each() -> None:
    assert format_figure({"iou": None, "share": 0.25}) == "iou None, share 0.2500"
    assert (format_figure(7), format_figure(["a"])) == ("7", "['a']")
