"""Stages on a run folder: what each leaves, and that a killed one goes on."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stage_runs import BySize, KilledError, killed_at, metrics, record_training
from studies import MACS_TABLE

import compress.stages.distill
import compress.stages.prune
import compress.stages.quantize
import compress.training.checkpoint
import compress.training.loop
from compress.files.tensors import load_network, save_network
from compress.stages.distill import distill
from compress.stages.prune import prune
from compress.stages.quantize import quantize
from compress.stages.run import Run
from compress.tflite.reader import check_all_int8
from search_spaces.errors import InputError
from search_spaces.widths import prunable_widths


def test_rounds_narrow_step_by_step_and_resume_after_a_kill(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compress.stages.prune, "GRADIENT_IMAGES", 4)
    run.__dict__["table"] = MACS_TABLE  # of so small a network this machine's time is mostly what no cut saves
    start = run.table.predict(run.network("train").graph)
    whole = Path(shutil.copytree(run.path, tmp_path / "whole"))
    other = dataclasses.replace(run, path=whole)
    other.__dict__.update(target=run.target, table=MACS_TABLE)
    prune(other, target_ms=0.7 * start, importance="taylor", rounds=3)
    heal = killed_at(monkeypatch, compress.stages.prune, "fit_network", 3)
    with pytest.raises(KilledError):
        prune(run, target_ms=0.7 * start, importance="taylor", rounds=3)
    heal()
    calls = killed_at(monkeypatch, compress.stages.prune, "fit_network", 2)  # only the third round is left to do
    prune(run, target_ms=0.7 * start, importance="taylor", rounds=3)
    calls()
    rounds = metrics(run, "prune")["rounds"]
    assert rounds == metrics(other, "prune")["rounds"]
    assert [one["round"] for one in rounds] == [1, 2, 3]
    predicted = [start, *(one["predicted_latency_ms"] for one in rounds)]
    assert predicted == sorted(predicted, reverse=True)
    assert predicted[-1] <= 0.7 * start
    assert not any(one["undone"] for one in rounds)
    assert all(width % 8 == 0 for width in prunable_widths(run.network("prune").genotype).values())
    weights, expected = (each.network("prune").state_dict() for each in (run, other))
    for name, value in weights.items():
        torch.testing.assert_close(value, expected[name], msg=name)
    assert not (run.path / "prune" / "rounds.pt").exists()


def test_a_network_that_is_fast_enough_is_neither_cut_nor_evaluated_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_training(run, miou=0.125)
    monkeypatch.delattr(Run, "miou")
    prune(run, target_ms=1e6)
    assert metrics(run, "prune")["miou"] == 0.125
    weights, given = (run.network(stage).state_dict() for stage in ("prune", "train"))
    assert all(torch.equal(weights[name], value) for name, value in given.items())


def test_rounds_of_another_pruning_are_not_gone_on_from(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.__dict__["table"] = MACS_TABLE
    start = run.table.predict(run.network("train").graph)
    heal = killed_at(monkeypatch, compress.stages.prune, "fit_network", 2)
    with pytest.raises(KilledError):
        prune(run, target_ms=0.7 * start, importance="l1", rounds=2)
    heal()
    prune(run, target_ms=0.7 * start, importance="l2", rounds=1)
    assert len(metrics(run, "prune")["rounds"]) == 1


def test_a_cut_that_gains_nothing_on_the_target_is_undone(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.__dict__["target"] = BySize(reference_ms=1.0, at_least=1e6)
    prune(run, target_ms=0.9 * run.table.predict(run.network("train").graph))
    (only,) = metrics(run, "prune")["rounds"]
    assert only["undone"]
    assert only["latency_ms"] == only["latency_before_ms"]
    assert run.network("prune").genotype == run.network("train").genotype
    assert "round 1 is undone" in capsys.readouterr().out


def test_quantizing_trains_falls_back_and_resumes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer that min-max ranges ruin (one channel 300 times as large) runs in float in the end; before that, the
    stage was killed between training in int8 and the files."""
    network = run.network("distill")
    with torch.no_grad():
        norm = network.get_submodule("layers.decoder_1_depthwise.bn")
        norm.weight[0] *= 300
        norm.bias[0] *= 300
        network.get_submodule("layers.decoder_1_pointwise.conv").weight[:, 0] /= 300
    save_network(network, run.made("distill"))
    monkeypatch.setattr(compress.training.checkpoint, "CHECKPOINT_SECONDS", 0.0)
    heal = killed_at(monkeypatch, compress.stages.quantize, "convert_source", 1)
    with pytest.raises(KilledError):
        quantize(run, ranges="minmax", qat_steps=2, max_drop=0.02)
    heal()
    assert not (run.path / "quantize" / "metrics.json").exists()
    killed_at(monkeypatch, compress.training.loop, "training_batches", 2)  # nothing is trained again
    quantize(run, ranges="minmax", qat_steps=2, max_drop=0.02)
    found = metrics(run, "quantize")
    assert len(found["all_int8_miou"]) == 2
    assert max(found["all_int8_miou"]) < found["float_miou"] - 0.02 <= found["miou"]
    assert {"decoder.1.depthwise", "decoder.1.pointwise"} <= found["float_ops"].keys()
    content = run.made("quantize").read_bytes()
    assert 0 < check_all_int8(content, found["float_ops"].values()) < len(network.graph)
    with pytest.raises(InputError, match="not int8 throughout"):
        check_all_int8(content)
    assert load_network(run.path / "quantize" / "network.pt").genotype == network.genotype


@pytest.mark.parametrize(
    ("stage", "given", "said"),
    [
        (prune, {"rounds": 0}, "--rounds 0: give a positive number"),
        (prune, {"target_ms": -1.0}, "--target-ms -1: give a positive number"),
        (quantize, {"qat_steps": -1}, "--qat-steps -1: give 0 or a positive number"),
        (quantize, {"max_drop": 2.0}, "--max-drop 2: give a fraction of 0 to 1"),
        (distill, {"loss": "l2"}, "--loss l2: 'l2' is none"),
    ],
)
def test_a_flag_out_of_range_is_named(run: Run, stage: Callable[..., None], given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        stage(run, **given)
