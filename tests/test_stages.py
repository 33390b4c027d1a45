"""Stages on a run folder: what each leaves, and that a killed one goes on."""

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import compress.distill
import compress.fit
import compress.prune
import compress.quantize
from compress.distill import distill
from compress.fit import Schedule
from compress.prune import prune
from compress.quantize import quantize
from compress.run import load_network, save_network, write_json
from compress.settings import Settings
from compress.stage import Run
from compress.target import HostTarget
from compress.tflite import check_all_int8
from compress.timing import Timed
from compress.train import fit_network
from search_spaces.blocks import widths
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network

SIDE = 64


class KilledError(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class BySize(HostTarget):
    """A device on which a model takes a millisecond for each of its `unit_bytes` and `at_least` one: no noise, so that
    a resumed stage decides as an uninterrupted one."""

    unit_bytes: int = 10_000
    at_least: float = 0.0

    def time(self, models: Sequence[bytes], seconds: float) -> tuple[list[Timed], float]:
        ms = [max(self.at_least, len(model) / self.unit_bytes) for model in models]
        return [Timed(one, one, one, one, 1) for one in ms], 1.0


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, folder_data: Path, host_table: Path, tiny: Genotype) -> Path:
    """A run folder whose network knows its data, as if every stage up to distillation had left it alone."""
    path = tmp_path_factory.mktemp("runs") / "trained"
    settings = Settings(budget_ms=50, data=f"folder:{folder_data}", input_size=(SIDE, SIDE), preset="toy")
    write_json(path / "config.json", settings.to_dict())
    shutil.copyfile(host_table, path / "table.json")
    torch.manual_seed(0)
    network = Network(dataclasses.replace(tiny, resolution=(SIDE, SIDE)))
    fit_network(Run(path, settings), network, Schedule(80, 4, SIDE), path, "test", seed=0)
    for stage in ("train", "prune", "distill"):
        save_network(network, path / stage / "network.pt")
    return path


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Run:
    path = Path(shutil.copytree(trained, tmp_path / "run"))
    run = Run(path, Settings.from_dict(json.loads((path / "config.json").read_text()), "config.json"))
    run.__dict__["target"] = BySize(reference_ms=1.0)
    return run


def metrics(run: Run, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.path / stage / "metrics.json").read_text())
    return found


def killed_at(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, calls: int) -> Callable[[], None]:
    """Makes a function of a module die at its n-th call; returns what undoes that."""
    real, seen = getattr(module, name), 0

    def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == calls:
            raise KilledError
        return real(*arguments, **named)

    monkeypatch.setattr(module, name, dying)
    return lambda: monkeypatch.setattr(module, name, real)


def test_rounds_narrow_step_by_step_and_resume_after_a_kill(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compress.prune, "GRADIENT_IMAGES", 4)
    start = run.table.predict(run.network("train").graph)
    whole = Path(shutil.copytree(run.path, tmp_path / "whole"))
    other = dataclasses.replace(run, path=whole)
    other.__dict__["target"] = run.target
    prune(other, target_ms=0.7 * start, importance="taylor", rounds=3)
    heal = killed_at(monkeypatch, compress.prune, "fit_network", 3)
    with pytest.raises(KilledError):
        prune(run, target_ms=0.7 * start, importance="taylor", rounds=3)
    heal()
    calls = killed_at(monkeypatch, compress.prune, "fit_network", 2)  # only the third round is left to do
    prune(run, target_ms=0.7 * start, importance="taylor", rounds=3)
    calls()
    rounds = metrics(run, "prune")["rounds"]
    assert rounds == metrics(other, "prune")["rounds"]
    assert [one["round"] for one in rounds] == [1, 2, 3]
    predicted = [start, *(one["predicted_latency_ms"] for one in rounds)]
    assert predicted == sorted(predicted, reverse=True)
    assert predicted[-1] <= 0.7 * start
    assert not any(one["undone"] for one in rounds)
    assert all(width % 8 == 0 for width in widths(run.network("prune").genotype).values())
    weights, expected = (each.network("prune").state_dict() for each in (run, other))
    for name, value in weights.items():
        torch.testing.assert_close(value, expected[name], msg=name)
    assert not (run.path / "prune" / "rounds.pt").exists()


def test_rounds_of_another_pruning_are_not_gone_on_from(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    start = run.table.predict(run.network("train").graph)
    heal = killed_at(monkeypatch, compress.prune, "fit_network", 2)
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


class Foreign(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.conv(images)
        return logits


def test_distilling_goes_on_only_with_the_same_teacher_and_losses(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint of a killed distillation serves the same one and no other."""
    torch.jit.trace(Foreign(), torch.rand(1, 3, SIDE, SIDE)).save(tmp_path / "teacher.pt")
    asked = {"teacher": str(tmp_path / "teacher.pt"), "loss": "kl=0.5,cwd,dist,skd,boundary"}
    monkeypatch.setattr(compress.fit, "CHECKPOINT_SECONDS", 0.0)
    heal = killed_at(monkeypatch, compress.distill, "record_network", 1)
    with pytest.raises(KilledError):
        distill(run, **asked)
    heal()
    resumed: list[int] = []
    real = compress.fit.resume

    def watched(*arguments: Any) -> tuple[int, float]:
        found = real(*arguments)
        resumed.append(found[0])
        return found

    monkeypatch.setattr(compress.fit, "resume", watched)
    distill(run, **asked)
    assert resumed == [2]  # both steps of the toy preset were done
    assert metrics(run, "distill")["loss"] == {"kl": 0.5, "cwd": 3.0, "dist": 1.0, "skd": 10.0, "boundary": 1.0}
    with pytest.raises(KilledError):
        killed_at(monkeypatch, compress.distill, "record_network", 1)
        distill(run, **asked)
    monkeypatch.setattr(compress.distill, "record_network", lambda *_, **__: None)
    distill(run)
    assert resumed == [2, 0, 0]


def test_a_distillation_that_makes_the_network_worse_is_undone(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ruin(run: Run, network: Network, *_: Any, **__: Any) -> None:
        for parameter in network.parameters():
            nn.init.zeros_(parameter)

    monkeypatch.setattr(compress.distill, "fit_network", ruin)
    distill(run)
    found = metrics(run, "distill")
    assert found["undone"]
    assert found["taught_miou"] < found["miou"]
    weights, given = (run.network(stage).state_dict() for stage in ("distill", "prune"))
    assert all(torch.equal(weights[name], value) for name, value in given.items())
    assert "distill: undone" in capsys.readouterr().out


def test_a_killed_distillation_goes_on_with_its_linear_maps(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One step, a kill, one step gives what two steps give."""
    other = dataclasses.replace(run, path=Path(shutil.copytree(run.path, tmp_path / "other")))
    other.__dict__["target"] = run.target
    for each in (run, other):
        network = Network(dataclasses.replace(run.network("prune").genotype, aspp_out=16))
        torch.manual_seed(1)
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.2)
        save_network(network, each.made("prune"))
    asked = {"loss": "kl,adaptive=0.5", "features": "backbone,aspp"}
    distill(other, **asked)
    monkeypatch.setattr(compress.fit, "CHECKPOINT_SECONDS", 0.0)
    heal = killed_at(monkeypatch, compress.fit, "save_tensors", 2)
    with pytest.raises(KilledError):
        distill(run, **asked)
    heal()
    assert any(name.startswith("1.0.") for name in torch.load(run.path / "distill" / "checkpoint.pt")["model"])
    distill(run, **asked)
    found = metrics(run, "distill")
    assert found["loss"] == {"kl": 1.0, "adaptive": 0.5}
    assert not found["undone"]
    expected = other.network("distill").state_dict()
    for name, value in run.network("distill").state_dict().items():
        torch.testing.assert_close(value, expected[name], msg=name)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"features": "aspp"}, "--features aspp: add dynamic or adaptive to --loss"),
        ({"loss": "dynamic,adaptive"}, "--loss dynamic,adaptive: both compare the same layers"),
        ({"loss": "adaptive", "features": "neck"}, "--features neck: 'neck' is none; choose from backbone, aspp"),
    ],
)
def test_flags_that_do_not_go_together_are_named(run: Run, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        distill(run, **asked)


def test_a_teacher_that_shows_no_layers_is_refused(run: Run, tmp_path: Path) -> None:
    traced = torch.jit.trace(nn.Conv2d(3, 3, 1), torch.rand(1, 3, 64, 64))
    traced.save(tmp_path / "teacher.pt")
    with pytest.raises(InputError, match=r"shows its logits only; --loss adaptive needs a network\.pt"):
        distill(run, teacher=str(tmp_path / "teacher.pt"), loss="adaptive")


def test_without_nni_the_remedy_is_said(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "nni.compression.distillation", None)
    with pytest.raises(InputError, match=r'--loss adaptive: .*pip install "slimlab\[nni\]"'):
        distill(run, loss="kl,adaptive")


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
    monkeypatch.setattr(compress.fit, "CHECKPOINT_SECONDS", 0.0)
    heal = killed_at(monkeypatch, compress.quantize, "converted", 1)
    with pytest.raises(KilledError):
        quantize(run, ranges="minmax", qat_steps=2, max_drop=0.02)
    heal()
    assert not (run.path / "quantize" / "metrics.json").exists()
    killed_at(monkeypatch, compress.fit, "training_batches", 2)  # nothing is trained again
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
