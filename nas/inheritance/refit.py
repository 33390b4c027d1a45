"""Fits the projections of a network to the values of its donor, one after the other, by least squares.

This is the reconstruction of channel pruning (He et al. 2017): the channels that are left make up for those that are
gone. A ridge pulls the weights towards the inherited ones, so a fit is never worse than what was inherited.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from nas.inheritance.projections import folded, set_folded
from nas.inheritance.sweep import Sweep, layer_of, sampled
from search_spaces.genotype import Stage
from search_spaces.network import Network
from search_spaces.ops import Op

POSITIONS = 8192  # pixels that a projection is fitted to
RIDGE = 1e-3  # of the mean variance of the hidden channels


class FitError(NamedTuple):
    """The squared error of the output of a block against the donor's, as a fraction of the donor's variance.

    Attributes:
        before: With the inherited projection and the best bias for it.
        after: With the fitted projection.
    """

    before: float
    after: float


def sampled_outputs(donor: Network, batches: list[Tensor]) -> dict[str, Tensor]:
    """Runs the blocks of a donor.

    Args:
        donor: The donor, with BN statistics of these images (`calibrate`).
        batches: N,bands,h,w images in 0..1.

    Returns:
        P,C sampled pixels of the output of each block, by the output's name.
    """
    wanted = {
        _output_name(f"stage{i}", place)
        for i, stage in enumerate(donor.genotype.stages, start=1)
        for place in range(len(stage.hidden))
    }
    sweep = Sweep(donor, batches)
    found = {}
    for op in sweep.ops():
        parts = sweep.run(op)
        if op.name in wanted:
            found[op.name] = sampled(parts, POSITIONS)
    return found


@torch.no_grad()
def refit(
    target: Network,
    donors: tuple[Stage, ...],
    goals: Mapping[str, Tensor],
    batches: list[Tensor],
    ridge: float = RIDGE,
) -> dict[str, FitError]:
    """Fits the projections of a network to the outputs of the donor's blocks, in place.

    The BN statistics of the other layers become those of the images on the way. The last block of a stage is fitted to
    the donor's last one, the others to the donor's blocks of their place. Channels and stages that the donor lacks
    stay as they are.

    Args:
        target: The network, which inherited from the donor. It is left in eval mode.
        donors: The stages of the donor.
        goals: What `sampled_outputs` gives for the donor at the output stride of the network, and the same images.
        batches: N,bands,h,w images in 0..1.
        ridge: The strength of the ridge, as a fraction of the mean variance of the hidden channels.

    Returns:
        The error of each projection that was fitted, by its name.
    """
    errors = {}
    sweep = Sweep(target, batches)
    for op in sweep.ops():
        goal = goals.get(_goal(op, target.genotype.stages, donors))
        if goal is None:
            sweep.run(op, calibrate_from=0)
            continue
        hidden = sampled(sweep.values[op.inputs[0]], POSITIONS).double()
        rows = min(op.shape[2], goal.shape[1])
        wanted = goal[:, :rows].double()
        place = _place(op)
        residual = wanted
        if place > 0:
            before = _output_name(op.name.split(".")[0], place - 1)
            residual = wanted - sampled(sweep.values[before], POSITIONS)[:, :rows].double()
        spread = float((wanted - wanted.mean(0)).square().sum())
        squares = fit_projection(target, op, hidden, residual, ridge)
        errors[op.name] = FitError(*(each / max(spread, 1e-12) for each in squares))
        sweep.run(op, calibrate_from=rows)
    return errors


def fit_projection(target: Network, op: Op, hidden: Tensor, wanted: Tensor, ridge: float) -> tuple[float, float]:
    """Fits the leading channels of one projection, in place.

    It minimizes |hidden W + b - wanted|^2 / P + r |W - W0|^2, where W0 is the projection as it is.

    Args:
        target: The network.
        op: The projection.
        hidden: P,H pixels of the hidden channels.
        wanted: P,C pixels that the leading C channels of the output should have.
        ridge: The strength r, as a fraction of the mean variance of the hidden channels.

    Returns:
        The squared error before and after, summed over pixels and channels, each with the best biases.
    """
    layer = layer_of(target, op.name)
    rows = wanted.shape[1]
    old = folded(layer)[0][:rows, :, 0, 0].T
    hidden_mean, wanted_mean = hidden.mean(0), wanted.mean(0)
    centred, left = hidden - hidden_mean, wanted - wanted_mean - (hidden - hidden_mean) @ old
    single = centred.float()  # these products take most of the time; what they round is far below the ridge
    gram, moments = ((single.T @ other.float()).double() / len(centred) for other in (single, left))
    strength = ridge * gram.diagonal().mean() + 1e-12
    regular = gram + strength * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    change = torch.linalg.solve(regular, moments)
    weight = old + change
    variance = (weight * (gram @ weight)).sum(0).clamp_min(0)  # rounding may leave less than nothing
    set_folded(layer, weight.T[:, :, None, None], wanted_mean - hidden_mean @ weight, wanted_mean, variance)
    return float(left.square().sum()), float((left - centred @ change).square().sum())


def _output_name(stage: str, place: int) -> str:
    return f"{stage}.{place}.{'add' if place else 'project'}"


def _place(op: Op) -> int:
    return int(op.name.split(".")[1])


def _goal(op: Op, own: tuple[Stage, ...], donors: tuple[Stage, ...]) -> str:
    """The value of the donor to which a projection is fitted; an empty name for other ops and stages."""
    if not op.name.endswith(".project"):
        return ""
    stage, place = op.name.split(".")[0], _place(op)
    number = int(stage.removeprefix("stage")) - 1
    if number >= len(donors):
        return ""
    last = len(donors[number].hidden) - 1
    is_last = place == len(own[number].hidden) - 1
    return _output_name(stage, last if is_last else min(place, last))
