"""The exponential moving average of a model's weights while it trains (EMA; Polyak and Juditsky 1992).

BN statistics are averaged like the weights. They could be computed anew with a pass over the data, but they are moving
averages of the same steps already. A supernet has no BN statistics of its own: those of a subnet are set anew when it
is scored.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Tensors = tuple[Tensor, ...] | list[Tensor]


def average_of(model: nn.Module, decay: float) -> AveragedModel:
    """Makes an average that is to be updated after each step.

    After n updates its decay is at most (1 + n) / (10 + n), so that a short training does not end near its first
    weights.

    Args:
        model: The model that trains.
        decay: The share of the average that stays at each update, below 1.

    Returns:
        The average, which holds a copy of the model.
    """

    def update(averaged: Tensors, current: Tensors, updates: Tensor | int) -> None:
        n = int(updates)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(averaged, current, updates)  # type: ignore[no-untyped-call]

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)


@contextmanager
def averaged(model: nn.Module, average: AveragedModel | None) -> Iterator[None]:
    """Gives a model the weights of its average inside the context, and its own again after it.

    Args:
        model: The model.
        average: The average; None changes nothing.

    Yields:
        Nothing.
    """
    if average is None:
        yield
        return
    own = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(average.module.state_dict())
    try:
        yield
    finally:
        model.load_state_dict(own)
