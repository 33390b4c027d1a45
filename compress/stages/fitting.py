"""Trains one network on a run's data: on the labels, and with a teacher where there is one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from compress.data.resizing import at_scale
from compress.distillation.losses import DISTILLATION_TERMS
from compress.distillation.teaching import Teaching
from compress.stages.run import Run
from compress.training.loop import StepLosses, autocast, fit
from compress.training.schedule import Schedule
from compress.training.terms import weighted_sum
from compress.training.trainee import Rungs
from search_spaces.network import Network

CHECKPOINT = "checkpoint.pt"


def network_losses(
    run: Run, network: nn.Module, resolution: tuple[int, int], teaching: Teaching | None = None
) -> StepLosses:
    """The loss that a network is trained on.

    Args:
        run: The run, whose loss on the labels is taken.
        network: Takes N,bands,h,w images and gives N,classes,h',w' logits.
        resolution: The resolution (H, W) in pixels that the network is made for.
        teaching: The teacher and the losses that compare the network with it.

    Returns:
        The losses for `compress.training.loop.fit`: one a step.
    """
    features = teaching.features if teaching else None
    student = features.student if features else network

    def losses(images: Tensor, masks: Tensor, step: int) -> Iterator[Tensor]:
        seen = at_scale(images, resolution, run.config.input_size)
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
    rungs: Rungs | None = None,
    save: Callable[[float], None] | None = None,
    until: int | None = None,
) -> float:
    """Trains a network in place on a run's data; a killed training goes on from FOLDER/checkpoint.pt.

    Args:
        run: The run.
        network: The network; it is moved to the run's device.
        schedule: The length and the learning rate.
        folder: Where the checkpoint and log.csv are written.
        title: What the training is called in the progress bar and in messages.
        seed: Chooses the crops, together with the run's seed.
        teaching: The teacher and the losses that compare the network with it.
        rungs: Calls on the way.
        save: Writes the result; the checkpoint is deleted after it. Without it the checkpoint stays.
        until: The step after which the training pauses, with its checkpoint kept; None for the last one.

    Returns:
        The seconds the training took, those before a kill included.

    Raises:
        DivergedError: A loss or a weight is not finite.
        InputError: The checkpoint or the log is damaged.
    """
    network.to(run.device)
    losses = network_losses(run, network, network.genotype.resolution, teaching)
    key = f"{run.training_key} {teaching.training_key if teaching else ''}"
    features = teaching.features if teaching else None
    trained = network if features is None else nn.ModuleList([network, features.linears])
    crops, file = run.crops(schedule, seed), folder / CHECKPOINT
    return fit(trained, losses, crops, schedule, file, title, rungs, key, save, until=until)
