"""The training loop: it learns, and a killed run ends where an uninterrupted one does."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from compress.data.crops import Crops
from compress.data.dataset import IGNORE, open_data
from compress.data.validation import read_validation
from compress.evaluation.metrics import mean_iou
from compress.evaluation.network import evaluate_network
from compress.files.tensors import load_network, load_tensors, save_network, save_tensors
from compress.stages.run import Run
from compress.training import checkpoint as checkpoint_module
from compress.training import log as training_log
from compress.training.label_losses import cross_entropy
from compress.training.loop import StepLosses, fit
from compress.training.schedule import LR_SCHEDULES, Schedule
from compress.training.trainee import Rungs, Trainee
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network


class KilledError(Exception):
    pass


def losses_of(network: Network, killed_at: int | None = None) -> StepLosses:
    seen = 0

    def losses(images: Tensor, masks: Tensor, step: int) -> Iterator[Tensor]:
        nonlocal seen
        if seen == killed_at:
            raise KilledError
        seen += 1
        yield cross_entropy(network(images), masks, IGNORE)

    return losses


def fresh(genotype: Genotype) -> Network:
    torch.manual_seed(0)
    return Network(genotype)


def test_it_learns(run: Run) -> None:
    """The network of the run folder was trained for 80 steps."""
    counts = evaluate_network(run.network("train"), run.validation, torch.device("cpu"))
    assert mean_iou(counts) > 0.6


@pytest.mark.parametrize(
    ("lr_schedule", "ema"),
    [
        ("one-cycle", 0.0),
        ("poly", 0.9),
        pytest.param("one-cycle", 0.9, marks=pytest.mark.slow),
        pytest.param("poly", 0.0, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_ends_where_an_uninterrupted_one_does(
    tiny: Genotype, folder_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lr_schedule: str, ema: float
) -> None:
    monkeypatch.setattr(checkpoint_module, "CHECKPOINT_SECONDS", 0.0)
    crops = Crops(open_data(f"folder:{folder_data}"), (96, 96), 64, 12, 0)
    monkeypatch.setattr(training_log, "LOG_STEPS", 2)
    schedule, checkpoint, other = (
        Schedule(6, 2, 64, lr_schedule=lr_schedule, ema=ema),
        tmp_path / "c.pt",
        tmp_path / "other",
    )
    whole = fresh(tiny)
    fit(whole, losses_of(whole), crops, schedule, other / "c.pt", "whole")
    killed = fresh(tiny)
    with pytest.raises(KilledError):
        fit(killed, losses_of(killed, killed_at=4), crops, schedule, checkpoint, "killed")
    resumed = fresh(tiny)
    fit(resumed, losses_of(resumed), crops, schedule, checkpoint, "resumed")
    logs = [(place / "log.csv").read_text().splitlines() for place in (other, checkpoint.parent)]
    whole_log, resumed_log = ([line.split(",") for line in log[1:]] for log in logs)
    assert [line[0] for line in whole_log] == [line[0] for line in resumed_log] == ["2", "4", "6"]
    assert [line[2:] for line in whole_log] == [line[2:] for line in resumed_log]
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_a_run_killed_in_its_last_rung_does_that_rung_again(
    tiny: Genotype, folder_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_module, "CHECKPOINT_SECONDS", 0.0)
    crops = Crops(open_data(f"folder:{folder_data}"), (96, 96), 64, 8, 0)
    rungs: list[int] = []

    def dying(rung: int) -> None:
        rungs.append(rung)
        if rungs == [1, 2]:
            raise KilledError

    asked = (crops, Schedule(4, 2, 64), tmp_path / "c.pt", "test", Rungs(2, dying))
    killed, resumed = fresh(tiny), fresh(tiny)
    with pytest.raises(KilledError):
        fit(killed, losses_of(killed), *asked)
    fit(resumed, losses_of(resumed), *asked)
    assert rungs == [1, 2, 2]


def test_a_run_killed_after_its_last_step_trains_no_more(tiny: Genotype, folder_data: Path, tmp_path: Path) -> None:
    """Steps are quicker here than checkpoints are apart."""
    crops = Crops(open_data(f"folder:{folder_data}"), (96, 96), 64, 4, 0)
    asked = (crops, Schedule(2, 2, 64), tmp_path / "c.pt", "test")
    whole, resumed = fresh(tiny), fresh(tiny)
    fit(whole, losses_of(whole), *asked)
    fit(resumed, losses_of(resumed, killed_at=0), *asked)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_the_average_is_that_of_every_step(
    tiny: Genotype, folder_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BN statistics included; a rung sees the average, and training goes on from its own weights after it."""
    crops = Crops(open_data(f"folder:{folder_data}"), (96, 96), 64, 12, 0)
    plain, smooth = fresh(tiny), fresh(tiny)
    steps: list[dict[str, Tensor]] = []
    seen: list[dict[str, Tensor]] = []

    def state(of: Network) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in of.state_dict().items() if value.is_floating_point()}

    every = {"rungs": Rungs(6, lambda _: steps.append(state(plain)))}
    fit(plain, losses_of(plain), crops, Schedule(6, 2, 64), tmp_path / "a.pt", "plain", **every)
    every = {"rungs": Rungs(2, lambda _: seen.append(state(smooth)))}
    fit(smooth, losses_of(smooth), crops, Schedule(6, 2, 64, ema=0.3), tmp_path / "b.pt", "smooth", **every)
    expected = steps[0]
    for n, step in enumerate(steps[1:], 1):
        decay = min(0.3, (1 + n) / (10 + n))
        expected = {name: decay * value + (1 - decay) * step[name] for name, value in expected.items()}
        if n == 2:
            torch.testing.assert_close(seen[0], expected)
    torch.testing.assert_close(state(smooth), expected)
    assert any(not torch.equal(value, steps[-1][name]) for name, value in expected.items())


def test_an_average_evaluates_as_well_as_it_should(tiny: Genotype, folder_data: Path, tmp_path: Path) -> None:
    data = open_data(f"folder:{folder_data}")
    network = fresh(tiny)
    schedule = Schedule(100, 4, 64, lr_schedule="poly", ema=0.97)
    fit(network, losses_of(network), Crops(data, (96, 96), 64, 400, 0), schedule, tmp_path / "c.pt", "test")
    counts = evaluate_network(network, read_validation(data, (96, 96)), torch.device("cpu"))
    assert mean_iou(counts) > 0.6


@pytest.mark.parametrize("steps", [2, 7, 200])
def test_poly_rises_and_falls_as_its_formula(steps: int) -> None:
    schedule = Schedule(steps, 2, 64, lr=0.1)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], schedule.lr)
    rate = LR_SCHEDULES["poly"](optimizer, schedule)
    warm_up = max(1, round(0.05 * steps))
    for step in range(steps):
        expected = 0.1 * (1 - step / steps) ** 0.9 * min(1, (step + 1) / (warm_up + 1))
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected, 1e-6)
        optimizer.step()
        rate.step()


def test_a_head_has_a_learning_rate_of_its_own(tiny: Genotype) -> None:
    network = fresh(tiny)
    for name in LR_SCHEDULES:
        schedule = Schedule(20, 2, 64, lr=0.01, lr_schedule=name, head_lr=4.0)
        trainee = Trainee.of(network, schedule)
        backbone, head = trainee.optimizer.param_groups
        held = {id(value): key for key, value in network.named_parameters()}
        assert all(held[id(value)].startswith(("layers.stem", "layers.stage")) for value in backbone["params"])
        assert len(backbone["params"]) + len(head["params"]) == len(held)
        highest = 0.0
        for _ in range(20):
            assert head["lr"] == pytest.approx(4 * backbone["lr"], 1e-6)
            highest = max(highest, backbone["lr"])
            trainee.optimizer.step()
            trainee.rate.step()
        assert highest == pytest.approx(0.01, 0.05)


def test_another_model_names_its_backbone_itself() -> None:
    model = torch.nn.ModuleDict({"encoder": torch.nn.Linear(2, 3), "decoder": torch.nn.Linear(3, 1)})
    trainee = Trainee.of(model, Schedule(20, 2, 64, lr=0.01, head_lr=8.0), lambda name: name.startswith("encoder."))
    encoder, decoder = trainee.optimizer.param_groups
    assert [value.shape for value in encoder["params"]] == [(3, 2), (3,)]
    assert decoder["lr"] == pytest.approx(8 * encoder["lr"])


def test_a_checkpoint_of_other_weights_is_not_gone_on_from(
    tiny: Genotype, folder_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_module, "CHECKPOINT_SECONDS", 0.0)
    crops = Crops(open_data(f"folder:{folder_data}"), (96, 96), 64, 4, 0)
    schedule, checkpoint = Schedule(2, 2, 64), tmp_path / "c.pt"
    killed = Network(dataclasses.replace(tiny, stem=16))
    with pytest.raises(KilledError):
        fit(killed, losses_of(killed, killed_at=1), crops, schedule, checkpoint, "killed")
    whole, other = fresh(tiny), fresh(tiny)
    fit(whole, losses_of(whole), crops, schedule, checkpoint, "beside a checkpoint")
    fit(other, losses_of(other), crops, schedule, tmp_path / "none.pt", "without")
    for name, value in other.state_dict().items():
        torch.testing.assert_close(whole.state_dict()[name], value, msg=name)


def test_a_network_is_saved_and_loaded_without_pickle(tiny: Genotype, tmp_path: Path) -> None:
    network = fresh(tiny).eval()
    save_network(network, tmp_path / "n.pt")
    again = load_network(tmp_path / "n.pt")
    assert again.genotype == tiny
    x = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        assert torch.equal(again(x), network(x))


def test_weights_that_run_code_are_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("this must not be printed",))

    torch.save({"genotype": Evil(), "weights": {}}, tmp_path / "n.pt")
    with pytest.raises(InputError, match=r"n\.pt cannot be loaded"):
        load_network(tmp_path / "n.pt")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04broken"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "n.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"n\.pt cannot be loaded"):
        load_tensors(tmp_path / "n.pt")


def test_a_network_of_another_shape_is_refused(tiny: Genotype, tmp_path: Path) -> None:
    save_tensors({"genotype": "{}", "weights": {}}, tmp_path / "n.pt")
    with pytest.raises(InputError, match=r"n\.pt is not a network of this version"):
        load_network(tmp_path / "n.pt")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def other_optimizer(path: Path) -> None:
    """A checkpoint that loads, and lacks the optimizer's state."""
    states = load_tensors(path)
    save_tensors({**states, "optimizer": {}}, path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, r"c\.pt cannot be loaded .*; delete it"),
        (other_optimizer, r"c\.pt is damaged .*; delete it: the training begins again"),
        (
            lambda path: path.with_name("log.csv").write_text("step,seconds,loss,lr\nx"),
            r"log\.csv is damaged .*; delete",
        ),
        (lambda path: path.with_name("log.csv").write_bytes(b"\xff\xfe\x00"), r"log\.csv is damaged .*; delete"),
    ],
    ids=["checkpoint cut", "optimizer of another", "log not numbers", "log not text"],
)
def test_a_damaged_checkpoint_or_log_is_named(
    tiny: Genotype,
    folder_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
    said: str,
) -> None:
    monkeypatch.setattr(checkpoint_module, "CHECKPOINT_SECONDS", 0.0)
    crops = Crops(open_data(f"folder:{folder_data}"), (96, 96), 64, 4, 0)
    asked = (crops, Schedule(2, 2, 64), tmp_path / "c.pt", "test")
    killed, resumed = fresh(tiny), fresh(tiny)
    with pytest.raises(KilledError):
        fit(killed, losses_of(killed, killed_at=1), *asked)
    damage(tmp_path / "c.pt")
    with pytest.raises(InputError, match=said) as caught:
        fit(resumed, losses_of(resumed), *asked)
    assert len(str(caught.value).splitlines()) == 1
    (tmp_path / "c.pt").unlink()  # the remedy
    (tmp_path / "log.csv").unlink(missing_ok=True)
    fit(resumed, losses_of(resumed), *asked)


def test_the_checkpoint_is_deleted_once_the_result_is_saved(tiny: Genotype, folder_data: Path, tmp_path: Path) -> None:
    """Not before: a kill while it is saved loses nothing."""
    crops = Crops(open_data(f"folder:{folder_data}"), (96, 96), 64, 2, 0)
    network, checkpoint, there = fresh(tiny), tmp_path / "c.pt", list[bool]()
    fit(
        network,
        losses_of(network),
        crops,
        Schedule(1, 2, 64),
        checkpoint,
        "test",
        save=lambda _: there.append(checkpoint.exists()),
    )
    assert there == [True]
    assert not checkpoint.exists()


def test_losses_are_told_the_step(tiny: Genotype, folder_data: Path, tmp_path: Path) -> None:
    network, steps = fresh(tiny), list[int]()

    def losses(images: Tensor, masks: Tensor, step: int) -> Iterator[Tensor]:
        steps.append(step)
        assert torch.initial_seed() == 5 + step  # what supernets drew from before: the draws are the same
        yield cross_entropy(network(images), masks, IGNORE)

    crops = Crops(open_data(f"folder:{folder_data}"), (96, 96), 64, 6, seed=5)
    fit(network, losses, crops, Schedule(3, 2, 64), tmp_path / "c.pt", "test")
    assert steps == [0, 1, 2]
