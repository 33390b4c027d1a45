"""The exponential moving average of a model's weights while it trains (EMA; Polyak and Juditsky 1992).

BN statistics are averaged as the weights are, not found anew: they are moving averages of the same steps already, which
spares a pass over the data, and a supernet has none of its own to find (its subnets' are set anew when one is scored).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Tensors = tuple[Tensor, ...] | list[Tensor]


def average_of(model: nn.Module, decay: float) -> AveragedModel:
    """An average to be updated after each step. After n updates its decay is at most (1 + n) / (10 + n), so that a
    short training does not end near its first weights."""

    def update(averaged: Tensors, current: Tensors, updates: Tensor | int) -> None:
        n = int(updates)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(averaged, current, updates)  # type: ignore[no-untyped-call]

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)


@contextmanager
def averaged(model: nn.Module, average: AveragedModel | None) -> Iterator[None]:
    """Inside, the model has the weights of its average, if it has one; then its own again."""
    if average is None:
        yield
        return
    own = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(average.module.state_dict())
    try:
        yield
    finally:
        model.load_state_dict(own)
