"""What changes in a training: the model, its optimizer, its learning rate and the average of its weights."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from compress.training import distributed
from compress.training.averaging import average_of, averaged
from compress.training.finite import require_finite_loss
from compress.training.schedule import LR_SCHEDULES, Schedule
from search_spaces.network import is_backbone_weight

MAX_GRADIENT_NORM = 5.0


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
    def of(
        model: nn.Module, schedule: Schedule, is_of_backbone: Callable[[str], bool] = is_backbone_weight
    ) -> "Trainee":
        """Sets up the training of a model.

        Args:
            model: The model; it is set to training mode and its memory to channels last.
            schedule: The training's schedule.
            is_of_backbone: Tells by its name whether a parameter belongs to the backbone.

        Returns:
            The model with an optimizer that has taken no step.
        """
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        model.train()
        optimizer = optimizer_of(model, schedule, is_of_backbone)
        rate = LR_SCHEDULES[schedule.lr_schedule](optimizer, schedule)
        return Trainee(model, optimizer, rate, average_of(model, schedule.ema) if schedule.ema else None)

    def start(self) -> None:
        """Sets the model to training mode."""
        self.model.train()

    def advance(self, steps: int) -> None:
        """Moves the learning rate on, as if steps had been taken.

        Args:
            steps: How many steps.
        """
        with warnings.catch_warnings():  # the scheduler misses the optimizer's steps, which other rounds took
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            for _ in range(steps):
                self.rate.step()

    def drawn(self, start: int, steps: int) -> list[list[int]] | None:
        """Which crops make up each step.

        Args:
            start: The step to begin with.
            steps: The steps of the whole training.

        Returns:
            The indices of the crops of each step from `start`; None for consecutive ones.
        """
        return None

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
        self.start()

    def finish(self) -> None:
        """Gives the model its averaged weights and sets it to eval mode."""
        if self.average is not None:
            self.model.load_state_dict(self.average.module.state_dict())
        self.model.eval()


def optimizer_of(
    model: nn.Module, schedule: Schedule, is_of_backbone: Callable[[str], bool] = is_backbone_weight
) -> Optimizer:
    """Makes the optimizer of a training.

    Args:
        model: The model.
        schedule: The training's schedule.
        is_of_backbone: Tells by its name whether a parameter belongs to the backbone.

    Returns:
        AdamW over all parameters, which has taken no step. Where the head has a learning rate of its own, its
        parameters are the second group.
    """
    groups: list[dict[str, Any]] = [{"params": list(model.parameters())}]
    if schedule.head_lr != 1:
        parts: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for name, parameter in model.named_parameters():
            parts[is_of_backbone(name)].append(parameter)
        groups = [{"params": parts[True]}, {"params": parts[False], "lr": schedule.lr * schedule.head_lr}]
    return torch.optim.AdamW(groups, lr=schedule.lr, weight_decay=schedule.weight_decay, fused=True)
