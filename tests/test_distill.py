"""Distillation on a run folder: teachers, losses, what is resumed, undone and refused."""

import dataclasses
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stage_runs import SIDE, KilledError, killed_at, metrics, record_training
from torch import nn

import compress.stages.distill
import compress.stages.prune
import compress.stages.quantize
import compress.training.checkpoint
from compress.files.tensors import save_network
from compress.stages.distill import distill
from compress.stages.prune import prune
from compress.stages.run import Run
from compress.training.checkpoint import Checkpoint
from search_spaces.errors import InputError
from search_spaces.network import Network


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
    monkeypatch.setattr(compress.training.checkpoint, "CHECKPOINT_SECONDS", 0.0)
    heal = killed_at(monkeypatch, compress.stages.distill, "record_network", 1)
    with pytest.raises(KilledError):
        distill(run, **asked)
    heal()
    resumed: list[int] = []
    real = Checkpoint.load

    def watched(checkpoint: Checkpoint) -> tuple[int, float]:
        found = real(checkpoint)
        resumed.append(found[0])
        return found

    monkeypatch.setattr(Checkpoint, "load", watched)
    distill(run, **asked)
    assert resumed == [2]  # both steps of the toy preset were done
    assert metrics(run, "distill")["loss"] == {"kl": 0.5, "cwd": 3.0, "dist": 1.0, "skd": 10.0, "boundary": 1.0}
    with pytest.raises(KilledError):
        killed_at(monkeypatch, compress.stages.distill, "record_network", 1)
        distill(run, **asked)
    monkeypatch.setattr(compress.stages.distill, "record_network", lambda *_, **__: None)
    distill(run, teacher=str(run.made("train")))
    assert resumed == [2, 0, 0]


def test_a_distillation_that_makes_the_network_worse_is_undone(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ruin(run: Run, network: Network, *_: Any, save: Callable[[float], None], **__: Any) -> None:
        for parameter in network.parameters():
            nn.init.zeros_(parameter)
        save(0.0)

    monkeypatch.setattr(compress.stages.distill, "fit_network", ruin)
    distill(run, teacher=str(run.made("train")))
    found = metrics(run, "distill")
    assert found["undone"]
    assert found["taught_miou"] < found["miou"]
    weights, given = (run.network(stage).state_dict() for stage in ("distill", "prune"))
    assert all(torch.equal(weights[name], value) for name, value in given.items())
    assert "distill: undone" in capsys.readouterr().out


def test_a_network_that_was_not_pruned_is_not_taught_by_itself(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record_training(run, miou=0.125)
    monkeypatch.delattr(Run, "miou")  # nor is it evaluated again
    prune(run, target_ms=1e6)
    distill(run)
    found = metrics(run, "distill")
    assert (found["undone"], found["taught_miou"]) == (False, None)
    assert found["miou"] == 0.125
    weights, given = (run.network(stage).state_dict() for stage in ("distill", "prune"))
    assert all(torch.equal(weights[name], value) for name, value in given.items())
    assert "distill: nothing was pruned" in capsys.readouterr().out


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
    monkeypatch.setattr(compress.training.checkpoint, "CHECKPOINT_SECONDS", 0.0)
    heal = killed_at(monkeypatch, compress.training.checkpoint, "save_tensors", 2)
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


class Unsure(Foreign):
    """A teacher whose logits are not finite."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images) / torch.zeros(())


def test_a_teacher_is_evaluated_before_distillation_starts(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is less accurate than the student is said, with both figures."""
    torch.manual_seed(0)
    torch.jit.trace(Foreign(), torch.rand(1, 3, SIDE, SIDE)).save(tmp_path / "teacher.pt")
    printed: list[str] = []

    def stop(*_: Any, **__: Any) -> None:
        printed.append(capsys.readouterr().out)
        raise KilledError

    monkeypatch.setattr(compress.stages.distill, "fit_network", stop)
    with pytest.raises(KilledError):
        distill(run, teacher=str(tmp_path / "teacher.pt"))
    student = run.miou(run.network("prune"))
    assert "teacher.pt has mIoU 0." in printed[0]
    assert f"less than the student's {student:.4f}" in printed[0]
    with pytest.raises(KilledError):
        distill(run, teacher=str(run.made("train")))
    assert printed[1] == ""  # the student itself is no worse than the student


def test_a_teacher_without_finite_logits_is_refused_before_distillation_starts(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.jit.trace(Unsure(), torch.rand(1, 3, SIDE, SIDE)).save(tmp_path / "teacher.pt")
    monkeypatch.setattr(compress.stages.distill, "fit_network", None)
    with pytest.raises(InputError, match=r"--teacher \S+: its logits on the validation split are not finite"):
        distill(run, teacher=str(tmp_path / "teacher.pt"))


def test_without_nni_the_remedy_is_said(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "nni.compression.distillation", None)
    with pytest.raises(InputError, match=r'--loss adaptive: .*pip install "slimlab\[nni\]"'):
        distill(run, loss="kl,adaptive")
