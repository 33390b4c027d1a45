"""The one training loop. It saves a checkpoint as it goes, goes on from it after a kill, and keeps a log."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from compress.data.batches import training_batches
from compress.data.crops import Crops
from compress.training import distributed
from compress.training.averaging import average_of, averaged
from compress.training.checkpoint import Checkpoint, origin_of
from compress.training.finite import DivergedError, require_finite_loss
from compress.training.log import TrainingLog
from compress.training.memory import kept_memory
from compress.training.schedule import LR_SCHEDULES, Schedule

MAX_GRADIENT_NORM = 5.0
StepLosses = Callable[[Tensor, Tensor, int], Iterator[Tensor]]  # of (images, masks, step)


class AbandonedError(Exception):
    """Raised by a call of `Rungs` to end a training for good."""


@dataclass(frozen=True)
class Rungs:
    """Calls at even distances in a training, with the model in eval mode and, if there is one, its averaged weights.

    Attributes:
        count: How many calls; the last one is after the last step.
        call: Takes the number of the call, from 1 to `count`. What it raises ends the training; AbandonedError also
            deletes the checkpoint.
    """

    count: int = 0
    call: Callable[[int], None] = lambda rung: None

    def reached(self, step: int, steps: int) -> int:
        """The number of the call that follows a step.

        Args:
            step: How many steps are done.
            steps: The steps of the whole training.

        Returns:
            The number, or 0 when no call follows this step.
        """
        rung = step * self.count // steps
        return rung if rung > (step - 1) * self.count // steps else 0


@dataclass(frozen=True)
class Trainee:
    """What changes in a training: the model, its optimizer, its learning rate and the average of its weights."""

    model: nn.Module
    optimizer: Optimizer
    rate: LRScheduler
    average: AveragedModel | None

    @staticmethod
    def of(model: nn.Module, schedule: Schedule) -> "Trainee":
        """Sets up the training of a model.

        Args:
            model: The model; it is set to training mode and its memory to channels last.
            schedule: The training's schedule.

        Returns:
            The model with an optimizer that has taken no step.
        """
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        model.train()
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=schedule.lr, weight_decay=schedule.weight_decay, fused=True
        )
        rate = LR_SCHEDULES[schedule.lr_schedule](optimizer, schedule)
        return Trainee(model, optimizer, rate, average_of(model, schedule.ema) if schedule.ema else None)

    @property
    def parts(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        parts: dict[str, Any] = {"model": self.model, "optimizer": self.optimizer, "rate": self.rate}
        return parts if self.average is None else {**parts, "average": self.average}

    def step(self, losses: Iterator[Tensor], title: str, number: int) -> tuple[float, float]:
        """Takes one optimizer step.

        Args:
            losses: The losses of the step's batch; each is propagated before the next one is computed.
            title: What the training is called in messages.
            number: The step, counted from 1.

        Returns:
            The last loss and the learning rate of the step.

        Raises:
            DivergedError: A loss is not finite.
        """
        value = 0.0
        self.optimizer.zero_grad()
        for loss in losses:
            value = loss.item()
            require_finite_loss(value, title, number)
            loss.backward()  # type: ignore[no-untyped-call]
        distributed.average_gradients(self.model)
        nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT_NORM)
        self.optimizer.step()
        lr = float(self.optimizer.param_groups[0]["lr"])
        self.rate.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return value, lr

    def call(self, rungs: Rungs, rung: int) -> None:
        """Makes one call of `rungs` with the averaged weights, and sets the model back to training mode.

        Args:
            rungs: The calls.
            rung: The number of the call.
        """
        self.model.eval()
        with averaged(self.model, self.average):
            rungs.call(rung)
        self.model.train()

    def finish(self) -> None:
        """Gives the model its averaged weights and sets it to eval mode."""
        if self.average is not None:
            self.model.load_state_dict(self.average.module.state_dict())
        self.model.eval()


def fit(
    model: nn.Module,
    losses: StepLosses,
    crops: Crops,
    schedule: Schedule,
    checkpoint: Path,
    title: str,
    rungs: Rungs | None = None,
    training_key: str = "",
    save: Callable[[float], None] | None = None,
) -> float:
    """Trains a model in place and ends with it in eval mode.

    A killed training goes on from `checkpoint` if that file started from the same weights, schedule and
    `training_key`; it ends with the weights of an uninterrupted one. The checkpoint is deleted after `save` has written
    the result, so a kill in between loses nothing. In a process group (`compress.training.distributed`) the ranks share
    each batch, and rank 0 alone writes files.

    Args:
        model: The model, on the device it trains on.
        losses: Gives one loss or several of (images N,3,crop,crop in 0..1, masks N,crop,crop, step from 0). Each is
            propagated before the next one is computed, so that several subnets need the memory of one.
        crops: The crops, steps * batch of them.
        schedule: The length and the learning rate.
        checkpoint: The file that keeps the state; log.csv is written beside it.
        title: What the training is called in the progress bar and in messages.
        rungs: Calls on the way.
        training_key: Text that differs when the losses differ.
        save: Writes the result, given the seconds the training took. Without it the checkpoint stays.

    Returns:
        The seconds the training took, those before a kill included.

    Raises:
        DivergedError: A loss or a weight is not finite; the checkpoint is deleted.
        InputError: The checkpoint or the log is damaged, or the ranks cannot share the batches.
    """
    trainee = Trainee.of(model, schedule)
    file = Checkpoint(checkpoint, title, origin_of(model, schedule, training_key), trainee.parts)
    try:
        with kept_memory():
            seconds = _train(trainee, losses, crops, schedule, file, rungs or Rungs())
    except (AbandonedError, DivergedError):
        file.remove()
        raise
    trainee.finish()
    if save is not None and distributed.rank() == 0:
        save(seconds)
        file.remove()
    return seconds


def _train(
    trainee: Trainee, losses: StepLosses, crops: Crops, schedule: Schedule, file: Checkpoint, rungs: Rungs
) -> float:
    """Takes the steps that are left; the seconds of all steps."""
    device = next(trainee.model.parameters()).device
    start, spent = file.load()
    begun = time.monotonic() - spent
    main = distributed.rank() == 0
    if rungs.count and start == schedule.steps:  # killed after the last step, before its call was of use
        trainee.call(rungs, rungs.count)
    log = TrainingLog(file.path.with_name("log.csv"), start) if main else None
    share = distributed.share(schedule.batch)
    bar = tqdm(total=schedule.steps, initial=start, desc=file.title, unit="step", dynamic_ncols=True, disable=not main)
    batches = training_batches(crops, schedule.batch, start, share=share, device=device)
    for step, (images, masks) in enumerate(batches, start):
        images = images.contiguous(memory_format=torch.channels_last)
        torch.manual_seed(crops.seed + step)
        loss, lr = trainee.step(losses(images, masks, step), file.title, step + 1)
        last = step + 1 == schedule.steps
        if log is not None:
            log.add(step + 1, time.monotonic() - begun, loss, lr, last=last)
            file.save(step + 1, time.monotonic() - begun, last)
        bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        bar.update()
        if rung := rungs.reached(step + 1, schedule.steps):
            trainee.call(rungs, rung)
    bar.close()
    return time.monotonic() - begun


def autocast(device: torch.device) -> torch.autocast:
    """Computes in bfloat16 on CUDA and in float32 elsewhere.

    On CPUs, even those with bfloat16 instructions, the backward pass of a depthwise convolution is 2 to 4 times slower
    in bfloat16 than in float32 with channels_last.

    Args:
        device: The device that computes.

    Returns:
        The context in which the model runs.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
