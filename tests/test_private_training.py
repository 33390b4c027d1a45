"""Private training: each image's gradient, clipping, noise, what is spent, and a killed training that goes on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import every_tap, tiny_of
from opacus.accountants import PRVAccountant
from torch import Tensor, nn

from compress.data import batches
from compress.data.crops import CropsOfImages
from compress.data.dataset import IGNORE, open_data
from compress.files.tensors import load_tensors
from compress.training import checkpoint as checkpoint_module
from compress.training import privacy_accounting, privacy_ledger, private
from compress.training.label_losses import cross_entropy
from compress.training.privacy import Privacy
from compress.training.privacy_accounting import BudgetSpentError, NoisePlan, epsilon_of, plan_noise
from compress.training.privacy_ledger import Ledger
from compress.training.private import SampleLosses, fit_privately
from compress.training.private_rounds import fit_round_privately, spent_before_round
from compress.training.sample_gradients import sample_gradients
from compress.training.schedule import Schedule
from search_spaces import SPACES
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network

IMAGES, SIDE, STEPS = 6, 64, 4
PRIVACY = Privacy(8.0, 1e-3, 0.5)


class KilledError(Exception):
    pass


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crops are made in this process: to start another one takes longer than a training."""
    monkeypatch.setattr(batches, "WORKERS", 0)


def network_of(genotype: Genotype) -> Network:
    """A network whose batch norm has statistics, scales and shifts of its own, and every tap a weight."""
    torch.manual_seed(0)
    network = every_tap(Network(genotype))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight.data, module.running_var):
                value.uniform_(0.5, 1.5)
            for value in (module.bias.data, module.running_mean):
                value.normal_(0, 0.1)
    return network


def sample_losses(network: nn.Module) -> SampleLosses:
    def losses(images: Tensor, masks: Tensor) -> Tensor:
        logits = network(images)
        return torch.stack([cross_entropy(logits[i : i + 1], masks[i : i + 1], IGNORE) for i in range(len(images))])

    return losses


def gradients(network: nn.Module) -> list[Tensor]:
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in network.parameters()]


@pytest.mark.parametrize("space", SPACES)
def test_the_gradients_of_each_image_are_those_of_a_batch_of_it_alone(space: str) -> None:
    """Depthwise, atrous, strided and dense convolutions, squeeze-excite, batch norm: every layer of every space."""
    genotype = tiny_of(space)
    network = network_of(genotype)
    images, masks = (
        torch.rand(3, 3, *genotype.resolution),
        torch.randint(0, genotype.classes, (3, *genotype.resolution)),
    )
    with sample_gradients(network):
        as_in_training = images.contiguous(memory_format=torch.channels_last)  # another order of memory
        sample_losses(network)(as_in_training, masks).sum().backward()
        found = [p.grad_sample.clone() for p in network.parameters()]  # type: ignore[attr-defined]
    network.eval()
    assert not any(hasattr(p, "grad_sample") for p in network.parameters())
    for i in range(3):
        network.zero_grad()
        sample_losses(network)(images[i : i + 1], masks[i : i + 1]).sum().backward()
        for (name, p), each in zip(network.named_parameters(), found, strict=True):
            assert p.grad is not None
            error, size = (each[i] - p.grad).norm().item(), p.grad.norm().item()
            assert error <= 1e-4 * size, f"{name}: {error} of {size}"
            assert size > 0, name


@pytest.fixture
def crops(folder_data: Path) -> CropsOfImages:
    return CropsOfImages(open_data(f"folder:{folder_data}"), (96, 96), SIDE, STEPS, 0)


def plan_of(noise: float = 1.0, batch: int = 3, privacy: Privacy = PRIVACY) -> NoisePlan:
    return NoisePlan(replace(privacy, epsilon=1e6), IMAGES, batch, STEPS, noise)


def schedule_of(batch: int = 3, ema: float = 0.0) -> Schedule:
    return Schedule(STEPS, batch, SIDE, lr=1e-2, ema=ema)


def with_secret(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(privacy_ledger.secrets, "randbits", lambda bits: number)


def first_gradient(network: Network, crops: CropsOfImages, plan: NoisePlan, folder: Path) -> list[Tensor]:
    """The gradients that the optimizer takes in the first and only step."""
    fit_privately(network, sample_losses(network), crops, replace(schedule_of(plan.batch), steps=1), plan, folder, "")
    return gradients(network)


def no_accounting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without noise no epsilon is kept."""
    monkeypatch.setattr(NoisePlan, "require", lambda *given: None)


def test_without_noise_and_clipping_it_is_plain_training(
    tiny: Genotype, crops: CropsOfImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_accounting(monkeypatch)
    plan, schedule = plan_of(0.0, IMAGES, replace(PRIVACY, max_grad_norm=1e9)), schedule_of(IMAGES)
    network, plain = network_of(tiny), network_of(tiny)
    fit_privately(network, sample_losses(network), crops, schedule, plan, tmp_path / "c.pt", "private")
    plain.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(plain.parameters(), lr=schedule.lr, weight_decay=schedule.weight_decay, fused=True)
    rate = private.LR_SCHEDULES[schedule.lr_schedule](optimizer, schedule)
    for step in range(STEPS):
        items = [crops[step * IMAGES + i] for i in range(IMAGES)]
        images, masks = torch.stack([x for x, _ in items]) / 255, torch.stack([y for _, y in items]).long()
        optimizer.zero_grad()
        sample_losses(plain)(images, masks).mean().backward()
        optimizer.step()
        rate.step()
    for (name, value), expected in zip(network.state_dict().items(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-4, msg=lambda m, name=name: f"{name}: {m}")


def test_the_gradient_of_an_image_is_clipped(
    tiny: Genotype, crops: CropsOfImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_accounting(monkeypatch)
    one = replace(crops.data, train=crops.data.train[:1])
    plan = NoisePlan(replace(PRIVACY, max_grad_norm=0.01), 1, 1, 1, 0.0)
    found = first_gradient(network_of(tiny), CropsOfImages(one, (96, 96), SIDE, 1, 0), plan, tmp_path / "c.pt")
    assert torch.cat([g.flatten() for g in found]).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_noise_is_added_to_the_sum(
    tiny: Genotype, crops: CropsOfImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its deviation is noise multiplier * clipped norm / expected images; each training has noise of its own."""
    deviation = 1.5 * PRIVACY.max_grad_norm / IMAGES
    difference = []
    for secret in (1, 2):
        with_secret(monkeypatch, secret)
        found = first_gradient(network_of(tiny), crops, plan_of(1.5, IMAGES), tmp_path / f"{secret}.pt")
        difference.append(torch.cat([g.flatten() for g in found]))
    noise = difference[0] - difference[1]
    assert noise.std().item() == pytest.approx(2**0.5 * deviation, rel=0.05)
    assert abs(noise.mean().item()) < 5 * deviation / len(noise) ** 0.5


def test_what_is_spent_is_what_opacus_counts(tiny: Genotype, crops: CropsOfImages, tmp_path: Path) -> None:
    network, plan = network_of(tiny), plan_of(noise=2.0)
    spent = fit_privately(network, sample_losses(network), crops, schedule_of(), plan, tmp_path / "c.pt", "private")
    accountant = PRVAccountant()
    for _ in range(STEPS):
        accountant.step(noise_multiplier=2.0, sample_rate=0.5)
    record = plan.record(spent)
    assert record["epsilon"] == accountant.get_epsilon(1e-3) == epsilon_of(spent, 1e-3)
    assert record["spent"] == [[2.0, 0.5, STEPS]]
    assert "nan" in (tmp_path / "log.csv").read_text()  # the loss has no noise


def test_the_least_noise_that_keeps_epsilon_is_found_and_no_step_more_is_taken(
    tiny: Genotype, crops: CropsOfImages, tmp_path: Path
) -> None:
    plan = plan_noise(Privacy(8.0), IMAGES, 100, STEPS)
    assert (plan.batch, plan.sample_rate, plan.privacy.delta) == (IMAGES, 1.0, 1 / (10 * IMAGES))
    spent = [(plan.noise_multiplier, 1.0, STEPS)]
    assert 7.9 < plan.record(spent)["epsilon"] <= 8.0
    network = network_of(tiny)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for rounds, steps in ((spent, 1), ([(plan.noise_multiplier, 1.0, 1)], STEPS)):
        with pytest.raises(BudgetSpentError, match=r"--dp-epsilon 8: .* earlier trainings"):
            schedule = replace(schedule_of(IMAGES), steps=steps)
            fit_privately(
                network, sample_losses(network), crops, schedule, plan, tmp_path / "c.pt", "private", spent=rounds
            )
    plan.require([(plan.noise_multiplier, 1.0, STEPS - 1)], 1)  # the last of several rounds
    assert not list(tmp_path.iterdir())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_killed_training_goes_on_with_the_same_noise(
    tiny: Genotype, crops: CropsOfImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_module, "CHECKPOINT_SECONDS", 0.0)
    plan, schedule = plan_of(), schedule_of(ema=0.9)

    def train(folder: str, killed_at: int | None = None) -> tuple[Network, list[Any]]:
        network, seen = network_of(tiny), 0
        plain = sample_losses(network)

        def losses(images: Tensor, masks: Tensor) -> Tensor:
            nonlocal seen
            seen += 1
            if seen == killed_at:
                raise KilledError
            return plain(images, masks)

        return network, fit_privately(network, losses, crops, schedule, plan, tmp_path / folder / "c.pt", "private")

    with_secret(monkeypatch, 7)
    whole, spent = train("whole")
    with pytest.raises(KilledError):
        train("killed", killed_at=3)
    other = network_of(tiny)
    with pytest.raises(InputError, match=r"c\.pt is of a killed private training with other settings"):
        fit_privately(other, sample_losses(other), crops, schedule, plan_of(2.0), tmp_path / "killed" / "c.pt", "other")
    with_secret(monkeypatch, 8)  # it must not be asked for again
    killed, resumed_spent = train("killed")
    assert spent == resumed_spent == [(1.0, 0.5, STEPS)]
    assert load_tensors(tmp_path / "killed" / "c.pt")["ledger"]["secret"] == "7"
    for name, value in killed.state_dict().items():
        torch.testing.assert_close(value, whole.state_dict()[name], rtol=0, atol=0, msg=name)


def test_images_are_drawn_by_chance_and_a_step_may_have_none(
    tiny: Genotype, crops: CropsOfImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_secret(monkeypatch, 3)
    plan = plan_of(batch=1)
    network = network_of(tiny)
    trainee = private.PrivateTrainee.private(network, schedule_of(1), plan, Ledger.after(()))
    many = trainee.drawn(0, 400)
    counts = torch.tensor([len(step) for step in many]).float()
    assert counts.mean().item() == pytest.approx(1.0, abs=0.2)
    assert counts.var().item() == pytest.approx(IMAGES * (1 / 6) * (5 / 6), abs=0.25)
    assert all(i // IMAGES == step for step, items in enumerate(many) for i in items)
    assert not all(many[:STEPS])
    spent = fit_privately(network, sample_losses(network), crops, schedule_of(1), plan, tmp_path / "c.pt", "private")
    assert spent == [(1.0, 1 / 6, STEPS)]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((0.0,), "--dp-epsilon 0: give a positive number"),
        ((float("nan"),), "--dp-epsilon nan"),
        ((float("inf"),), "--dp-epsilon inf"),
        ((8.0, 0.0), "--dp-delta 0: give a number above 0"),
        ((8.0, 1.0), "--dp-delta 1: "),
        ((8.0, None, 0.0), "--max-grad-norm 0: give a positive number"),
        ((8.0, None, float("nan")), "--max-grad-norm nan"),
    ],
)
def test_values_out_of_range_are_refused(given: tuple[Any, ...], named: str) -> None:
    with pytest.raises(InputError, match=named):
        Privacy(*given)


def test_a_delta_of_one_over_the_images_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert Privacy(8.0, 0.2).of_images(10) == Privacy(8.0, 0.2)
    assert "--dp-delta 0.2: is not below 1 / 10 images" in capsys.readouterr().out
    assert Privacy(8.0, 0.01).of_images(10).delta == 0.01
    assert not capsys.readouterr().out


def test_without_opacus_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from compress.training import privacy

    find: Callable[[str], Any] = lambda name: None  # noqa: E731
    monkeypatch.setattr(privacy, "find_spec", find)
    with pytest.raises(InputError, match=r'pip install "slimlab\[private\]"'):
        plan_noise(PRIVACY, IMAGES, 3, STEPS)


def test_a_clients_rounds_spend_together_and_no_round_more(
    tiny: Genotype, crops: CropsOfImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second round is asked for again after it was finished: it is spent again, and the third one is refused."""
    monkeypatch.setattr(privacy_accounting, "_noise_multiplier", lambda *given: 2.0)
    network, whole = network_of(tiny), replace(schedule_of(), steps=3)
    privacy = Privacy(epsilon_of([(2.0, 0.5, 3)], 1e-3) + 1e-6, 1e-3)

    def train(number: int) -> list[list[float]]:
        record = fit_round_privately(network, sample_losses(network), crops, whole, 3, number, privacy, tmp_path)
        assert record["epsilon"] <= privacy.epsilon
        return list(record["spent"])

    assert train(1) == [[2.0, 0.5, 1]]
    assert train(2) == [[2.0, 0.5, 2]]
    assert train(2) == [[2.0, 0.5, 3]]
    with pytest.raises(BudgetSpentError):
        train(3)
    after = {1: [(2.0, 0.5, 1)], 2: [(2.0, 0.5, 2)]}
    assert spent_before_round(after, 2, resumed=True) == after[1]
    assert spent_before_round(after, 2, resumed=False) == spent_before_round(after, 3, resumed=True) == after[2]
