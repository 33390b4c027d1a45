"""How long a training is, and how its learning rate rises and falls."""

from collections.abc import Callable
from dataclasses import dataclass

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ChainedScheduler, LinearLR, LRScheduler, OneCycleLR, PolynomialLR

from compress.training.plan import TrainingPlan

POLY_WARM_UP = 0.05  # share of the steps in which `poly` rises


@dataclass(frozen=True)
class Schedule(TrainingPlan):
    """A training plan, how its learning rate changes and whether its weights are averaged.

    Attributes:
        lr_schedule: How the learning rate rises and falls; a key of LR_SCHEDULES.
        ema: Decay of the moving average of the weights, which is then the result (`compress.training.averaging`); 0
            for none.
        head_lr: Learning rate of the head, in times that of the backbone.
    """

    lr_schedule: str = "one-cycle"
    ema: float = 0.0
    head_lr: float = 1.0


def one_cycle(optimizer: Optimizer, schedule: Schedule) -> LRScheduler:
    """The learning rate rises for a fifth of the steps and then falls along a cosine (Smith 2018).

    The momentum falls while the learning rate rises.

    Args:
        optimizer: The optimizer. The rates of its groups are the highest.
        schedule: The training's length.

    Returns:
        The scheduler, to be stepped after each optimizer step.
    """
    total = schedule.steps + 1
    warm_up = max(0.2, 2 / total)  # of the cycle; the scheduler divides by its length less one
    highest = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, highest, total_steps=total, pct_start=warm_up)


def poly(optimizer: Optimizer, schedule: Schedule) -> LRScheduler:
    """The learning rate falls as (1 - step / steps) ** 0.9, after a linear warm-up (DeepLab, Chen et al. 2017).

    Args:
        optimizer: The optimizer.
        schedule: The training's length.

    Returns:
        The scheduler, to be stepped after each optimizer step.
    """
    warm_up = max(1, round(POLY_WARM_UP * schedule.steps))
    rise = LinearLR(optimizer, 1 / (warm_up + 1), total_iters=warm_up)
    return ChainedScheduler([rise, PolynomialLR(optimizer, schedule.steps, power=0.9)], optimizer)


LR_SCHEDULES: dict[str, Callable[[Optimizer, Schedule], LRScheduler]] = {"one-cycle": one_cycle, "poly": poly}
