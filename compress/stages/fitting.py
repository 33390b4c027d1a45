"""Trains one network on a run's data: on labels, and with a teacher where there is one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compress.data.resizing import at_scale
from compress.distillation.losses import DISTILLATION_TERMS
from compress.distillation.teaching import Teaching
from compress.stages.run import Run
from compress.training.loop import autocast, fit
from compress.training.schedule import Schedule
from compress.training.terms import weighted_sum
from search_spaces.network import Network


def network_losses(
    run: Run, network: nn.Module, resolution: tuple[int, int], teaching: Teaching | None = None
) -> Callable[[Tensor, Tensor], Iterator[Tensor]]:
    """The run's loss on the labels of a network that sees images at `resolution`, and with a teacher the distillation
    terms as well."""
    features = teaching.features if teaching else None
    student = features.student if features else network

    def losses(images: Tensor, masks: Tensor) -> Iterator[Tensor]:
        seen = at_scale(images, resolution, run.settings.input_size)
        with autocast(run.device):
            logits = student(seen).float()
        loss = run.label_loss(logits, masks)
        if teaching is not None:
            with torch.no_grad(), autocast(run.device):
                target = teaching.teacher(images).float()
            loss = loss + weighted_sum(teaching.terms, DISTILLATION_TERMS, logits, target, masks, run.data.ignore)
        if features is not None:
            loss = loss + features.loss()
        yield loss

    return losses


def fit_network(
    run: Run,
    network: Network,
    schedule: Schedule,
    folder: Path,
    title: str,
    seed: int,
    teaching: Teaching | None = None,
    **watch: Any,
) -> None:
    """Trains a network in place on the run's data; a killed run goes on from FOLDER/checkpoint.pt. `watch` are
    `compress.training.loop`'s rungs."""
    network.to(run.device)
    losses = network_losses(run, network, network.genotype.resolution, teaching)
    key = f"{run.recipe} {teaching.training_key if teaching else ''}"
    checkpoint = folder / "checkpoint.pt"
    features = teaching.features if teaching else None
    trained = network if features is None else nn.ModuleList([network, features.linears])
    fit(trained, losses, run.crops(schedule, seed), schedule, checkpoint, title, training_key=key, **watch)
