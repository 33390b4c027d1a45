"""The one training loop. It saves a checkpoint as it goes, goes on from it after a kill, and keeps a log."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from compress.data.batches import training_batches
from compress.data.crops import Crops
from compress.training import distributed
from compress.training.checkpoint import Checkpoint, origin_of
from compress.training.finite import DivergedError
from compress.training.log import LOG_FILE, TrainingLog
from compress.training.memory import kept_memory
from compress.training.progress import training_bar
from compress.training.schedule import Schedule
from compress.training.trainee import Rungs, Trainee

StepLosses = Callable[[Tensor, Tensor, int], Iterator[Tensor]]  # of (images, masks, step)


class AbandonedError(Exception):
    """Raised by a call of `Rungs` to end a training for good."""


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
    trainee: Trainee | None = None,
    until: int | None = None,
) -> float:
    """Trains a model in place and ends with it in eval mode.

    A killed training goes on from `checkpoint` if that file started from the same weights, schedule and
    `training_key`; it ends with the weights of an uninterrupted one. The checkpoint is deleted after `save` has written
    the result, so a kill in between loses nothing. In a process group (`compress.training.distributed`) the ranks share
    each batch, and rank 0 alone writes files.

    Args:
        model: The model, on the device it trains on.
        losses: Gives one loss or several of (images N,bands,crop,crop in 0..1, masks N,crop,crop, step from 0). Each is
            propagated before the next one is computed, so that several subnets need the memory of one.
        crops: The crops, steps * batch of them.
        schedule: The length and the learning rate.
        checkpoint: The file that keeps the state; log.csv is written beside it.
        title: What the training is called in the progress bar and in messages.
        rungs: Calls on the way.
        training_key: Text that differs when the losses differ.
        save: Writes the result, given the seconds the training took. Without it the checkpoint stays.
        trainee: The model with its optimizer, where they are not those of `Trainee.of`.
        until: The step after which the training pauses. The checkpoint stays, and the same call with a later step, or
            with none, goes on from it.

    Returns:
        The seconds the training took, those before a kill included.

    Raises:
        DivergedError: A loss or a weight is not finite; the checkpoint is deleted.
        InputError: The checkpoint or the log is damaged, or the ranks cannot share the batches.
    """
    trainee = trainee or Trainee.of(model, schedule)
    file = Checkpoint(checkpoint, title, origin_of(model, schedule, training_key), trainee.parts)
    end = schedule.steps if until is None else min(until, schedule.steps)
    try:
        with kept_memory():
            seconds = _train(trainee, losses, crops, schedule, file, rungs or Rungs(), end)
    except (AbandonedError, DivergedError):
        file.remove()
        raise
    trainee.finish()
    if save is not None and distributed.rank() == 0:
        save(seconds)
        if end == schedule.steps:
            file.remove()
    return seconds


def _train(
    trainee: Trainee, losses: StepLosses, crops: Crops, schedule: Schedule, file: Checkpoint, rungs: Rungs, end: int
) -> float:
    """Takes the steps that are left up to the step `end`; the seconds of all steps."""
    device = next(trainee.model.parameters()).device
    start, spent = file.load()
    begun = time.monotonic() - spent
    main = distributed.rank() == 0
    if rungs.count and start == schedule.steps:  # killed after the last step, before its call was of use
        trainee.call(rungs, rungs.count)
    log = TrainingLog(file.path.with_name(LOG_FILE), start) if main else None
    share = distributed.share(schedule.batch)
    bar = training_bar(file.title, end, start, shown=main)
    drawn = trainee.drawn(start, schedule.steps)
    batches = training_batches(crops, schedule.batch, start, share=share, device=device, drawn=drawn)
    for step, (images, masks) in zip(range(start, end), batches, strict=False):  # a pause leaves batches over
        images = images.contiguous(memory_format=torch.channels_last)
        torch.manual_seed(crops.seed + step)
        loss, lr = trainee.step(losses(images, masks, step), file.title, step + 1)
        last = step + 1 == end
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
