"""Differentially private SGD (Abadi et al. 2016) with Opacus: for the stage `train` and for clients alike.

    plan = plan_noise(privacy, images, schedule.batch, schedule.steps)
    fit_privately(network, losses, crops, schedule, plan, checkpoint, title)

Each image is in a step with the same probability, by itself (Poisson sampling), with one crop. Its gradient is clipped
to a norm, the clipped gradients are added up, and noise is added to the sum. Opacus clips, adds the noise and counts.

A killed training goes on with the same noise (`compress.training.privacy_ledger`).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from opacus.optimizers import DPOptimizer
from opacus.utils.uniform_sampler import UniformWithReplacementSampler
from torch import Tensor, nn

from compress.data.crops import CropsOfImages
from compress.data.resizing import at_scale
from compress.training import distributed
from compress.training.averaging import average_of
from compress.training.checkpoint import origin_of
from compress.training.finite import require_finite_loss
from compress.training.label_losses import LabelLoss
from compress.training.loop import StepLosses, fit
from compress.training.privacy_accounting import NoisePlan, Spent
from compress.training.privacy_ledger import LEDGER, Ledger, require_same_training
from compress.training.sample_gradients import sample_gradients, train_by_image
from compress.training.schedule import LR_SCHEDULES, Schedule
from compress.training.trainee import Trainee, optimizer_of
from search_spaces.errors import InputError
from search_spaces.network import Network

MAX_PART, PART_PIXELS = 64, 16 * 128 * 128  # images, and pixels of images, whose gradients are in memory at once
SampleLosses = Callable[[Tensor, Tensor], Tensor]  # of (images, masks): a loss for each image


@dataclass(frozen=True)
class PrivateTrainee(Trainee):
    """A model whose optimizer clips the gradient of each image and adds noise to their sum.

    Attributes:
        ledger: The secret and what was spent.
        plan: The noise.
    """

    ledger: Ledger
    plan: NoisePlan

    @staticmethod
    def private(model: nn.Module, schedule: Schedule, plan: NoisePlan, ledger: Ledger) -> "PrivateTrainee":
        """Sets up the private training of a model.

        Args:
            model: The model.
            schedule: The training's schedule.
            plan: The noise.
            ledger: The secret and what was spent.

        Returns:
            The model with an optimizer that has taken no step.
        """
        # Opacus makes gradients contiguous, and the fused optimizer reads them in the order of the weights
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        optimizer = optimizer_of(model, schedule)
        rate = LR_SCHEDULES[schedule.lr_schedule](optimizer, schedule)
        average = average_of(model, schedule.ema) if schedule.ema else None
        private = DPOptimizer(
            optimizer,
            noise_multiplier=plan.noise_multiplier,
            max_grad_norm=plan.privacy.max_grad_norm,
            expected_batch_size=plan.batch,
        )
        private.attach_step_hook(ledger.accountant.get_optimizer_hook_fn(sample_rate=plan.sample_rate))
        return PrivateTrainee(model, private, rate, average, ledger, plan)

    @property
    def parts(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {**super().parts, LEDGER: self.ledger}

    def start(self) -> None:
        """Sets the model to training mode, its batch norm frozen."""
        train_by_image(self.model)

    def drawn(self, start: int, steps: int) -> list[list[int]]:
        """Draws the images of each step.

        Args:
            start: The step to begin with.
            steps: The steps of the whole training.

        Returns:
            The indices of the crops of each step, in `CropsOfImages`.
        """
        return [[step * self.plan.images + image for image in self._images(step)] for step in range(start, steps)]

    def _images(self, step: int) -> list[int]:
        generator = self.ledger.generator(step, "images", torch.device("cpu"))
        (drawn,) = UniformWithReplacementSampler(
            num_samples=self.plan.images, sample_rate=self.plan.sample_rate, generator=generator, steps=1
        )
        return list(drawn)

    def step(self, losses: Iterator[Tensor], title: str, number: int) -> tuple[float, float]:
        """Takes one optimizer step.

        Args:
            losses: The sums of the losses of parts of the step's images.
            title: What the training is called in messages.
            number: The step, counted from 1.

        Returns:
            Not a number in place of the loss, which has no noise and must not reach a log; and the learning rate.

        Raises:
            DivergedError: A loss is not finite.
        """
        optimizer: Any = self.optimizer
        optimizer.zero_grad()
        for loss in losses:
            require_finite_loss(loss.item(), title, number)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.signal_skip_step(do_skip=True)
            optimizer.step()  # only clips and adds up
            optimizer.zero_grad()
        for parameter in optimizer.params:
            parameter.grad_sample = parameter.new_zeros(0, *parameter.shape)
        optimizer.generator = self.ledger.generator(number - 1, "noise", optimizer.params[0].device)
        optimizer.signal_skip_step(do_skip=False)
        optimizer.step()
        lr = float(self.optimizer.param_groups[0]["lr"])
        self.rate.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return math.nan, lr


def fit_privately(
    model: nn.Module,
    losses: SampleLosses,
    crops: CropsOfImages,
    schedule: Schedule,
    plan: NoisePlan,
    checkpoint: Path,
    title: str,
    training_key: str = "",
    save: Callable[[float, list[tuple[float, float, int]]], None] | None = None,
    spent: Spent = (),
    whole: Schedule | None = None,
    done: int = 0,
) -> list[tuple[float, float, int]]:
    """Trains a network in place as `compress.training.loop.fit` does, with differential privacy.

    Batch norm keeps the statistics that it has. `schedule.batch` must be that of the plan.

    Args:
        model: The network, on the device it trains on.
        losses: A loss for each image of (images N,3,crop,crop in 0..1, masks N,crop,crop). No loss may depend on
            another image.
        crops: The crops, one of each image for each step.
        schedule: The length and the learning rate.
        plan: The noise.
        checkpoint: The file that keeps the state.
        title: What the training is called in the progress bar and in messages.
        training_key: Text that differs when the losses or the images differ.
        save: Writes the result, given the seconds the training took and what is spent with it. Without it the
            checkpoint stays.
        spent: What earlier trainings, or rounds, on the same images have spent.
        whole: The schedule of all rounds, where this training is one of several.
        done: The steps of `whole` that earlier rounds took.

    Returns:
        What is spent with this training.

    Raises:
        BudgetSpentError: The training would spend more than the plan's epsilon; no step is taken.
        DivergedError: A loss or a weight is not finite.
        InputError: The checkpoint or the log is damaged, several processes share the training, or the data set has
            scenes, whose tiles overlap when they are shifted.
    """
    require_single_images(crops)
    plan.require(spent, schedule.steps)
    ledger = Ledger.after(spent)
    trainee = PrivateTrainee.private(model, whole or schedule, plan, ledger)
    trainee.advance(done)

    parts = in_parts(losses, schedule.crop)

    def saved(seconds: float) -> None:
        if save is not None:
            save(seconds, ledger.spent)

    key = f"{training_key} {plan} {list(spent)} {done}"
    require_same_training(checkpoint, origin_of(model, schedule, key))
    with sample_gradients(model):
        fit(model, parts, crops, schedule, checkpoint, title, None, key, saved if save else None, trainee)
    return ledger.spent


def require_single_images(crops: CropsOfImages) -> None:
    """Refuses what no private training can take.

    Args:
        crops: The crops.

    Raises:
        InputError: Several processes share the training, or the data set has scenes, whose tiles overlap when they are
            shifted.
    """
    if distributed.world_size() > 1:
        raise InputError("--dp-epsilon: trains in one process; start it without torchrun")
    if crops.data.has_scenes:
        raise InputError(f"--data {crops.data.spec}: --dp-epsilon needs single images, not scenes; cut them into files")


def sample_losses(network: Network, input_size: tuple[int, int], on_labels: LabelLoss) -> SampleLosses:
    """The loss of each image by itself.

    Args:
        network: The network.
        input_size: Height and width of the input that crops are cut for, in pixels.
        on_labels: The loss on labels.

    Returns:
        A function of (images N,3,crop,crop, masks N,crop,crop) that gives N losses.
    """

    def losses(images: Tensor, masks: Tensor) -> Tensor:
        logits = network(at_scale(images, network.genotype.resolution, input_size))
        return torch.stack([on_labels(logits[i : i + 1], masks[i : i + 1]) for i in range(len(images))])

    return losses


def in_parts(losses: SampleLosses, crop: int) -> StepLosses:
    """The losses of a step for as many images at a time as memory has room for the gradients of.

    Args:
        losses: A loss for each image.
        crop: The side of a crop in pixels.

    Returns:
        The losses for `compress.training.loop.fit`.
    """

    def parts(images: Tensor, masks: Tensor, step: int) -> Iterator[Tensor]:
        part = min(MAX_PART, max(1, PART_PIXELS // crop**2))
        for at in range(0, len(images), part):
            yield losses(images[at : at + part], masks[at : at + part]).sum()

    return parts
