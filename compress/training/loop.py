"""The one training loop. It checkpoints as it goes, goes on from the last checkpoint, and keeps a log."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from compress.data.batches import training_batches
from compress.data.crops import Crops
from compress.files.tensors import load_tensors, save_tensors
from compress.training import distributed
from compress.training.averaging import average_of, averaged
from compress.training.log import TrainingLog
from compress.training.schedule import LR_SCHEDULES, Schedule

CHECKPOINT_SECONDS = 20.0
StepLosses = Callable[[Tensor, Tensor], Iterator[Tensor]]


def fit(
    model: nn.Module,
    losses: StepLosses,
    crops: Crops,
    schedule: Schedule,
    checkpoint: Path,
    title: str,
    rungs: int = 0,
    at_rung: Callable[[int], None] = lambda rung: None,
    training_key: str = "",
) -> float:
    """Trains `model` in place and returns the seconds it took, those before a kill included.

    `losses(images, masks)` yields one loss or several; each is propagated before the next is computed, so a
    sandwich of subnets needs the memory of one. `crops` must hold steps * batch items. A checkpoint that
    exists is continued from if it started from the same weights, schedule and losses (`training_key` names these where
    they vary); it is left for the caller to remove once the result is saved. `at_rung(1)` to `at_rung(rungs)` are
    called at even distances, the last at the end, with the model in eval mode and, where there is one, with the average
    of its weights; what it raises ends the training. In a process group (`compress.training.distributed`) the ranks
    share each batch.
    """
    device = next(model.parameters()).device
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=schedule.lr, weight_decay=schedule.weight_decay)
    rate = LR_SCHEDULES[schedule.lr_schedule](optimizer, schedule)
    average = average_of(model, schedule.ema) if schedule.ema else None
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "rate": rate}
    if average is not None:
        parts["average"] = average
    origin = origin_of(model, schedule, training_key)
    start, spent = resume(checkpoint, origin, parts)
    saved = time.monotonic()
    begun = saved - spent
    bar = tqdm(
        total=schedule.steps, initial=start, desc=title, unit="step", dynamic_ncols=True, disable=distributed.rank() > 0
    )
    if rungs and start == schedule.steps:  # killed after the last step, before its rung was of use
        with averaged(model.eval(), average):
            at_rung(rungs)
    log = TrainingLog(checkpoint.with_name("log.csv"), start) if distributed.rank() == 0 else None
    share = distributed.share(schedule.batch)
    for step, (images, masks) in enumerate(training_batches(crops, schedule.batch, start, share=share), start):
        images = images.to(device, memory_format=torch.channels_last)
        masks = masks.to(device)
        torch.manual_seed(crops.seed + step)
        optimizer.zero_grad()
        for loss in losses(images, masks):
            loss.backward()  # type: ignore[no-untyped-call]
        distributed.average_gradients(model)
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        lr = optimizer.param_groups[0]["lr"]  # of this step
        rate.step()
        if average is not None:
            average.update_parameters(model)
        said, last = loss.item(), step + 1 == schedule.steps
        if log is not None:
            log.add(step + 1, time.monotonic() - begun, said, lr, last=last)
        bar.set_postfix(loss=f"{said:.3f}", refresh=False)
        bar.update()
        if distributed.rank() == 0 and (last or time.monotonic() - saved > CHECKPOINT_SECONDS):
            states = {name: part.state_dict() for name, part in parts.items()}
            saved = time.monotonic()
            save_tensors({**states, "step": step + 1, "seconds": saved - begun, "origin": origin}, checkpoint)
        if (rung := (step + 1) * rungs // schedule.steps) > step * rungs // schedule.steps:
            model.eval()
            with averaged(model, average):
                at_rung(rung)
            model.train()
    bar.close()
    if average is not None:
        model.load_state_dict(average.module.state_dict())
    model.eval()
    return time.monotonic() - begun


def origin_of(model: nn.Module, schedule: Schedule, training_key: str) -> str:
    """Names what a training starts from, so that a checkpoint of another one is not mistaken for its own."""
    hashed = hashlib.sha256(f"{schedule!r} {training_key}".encode())
    for name, value in model.state_dict().items():
        hashed.update(name.encode())
        hashed.update(value.cpu().contiguous().numpy().tobytes())
    return hashed.hexdigest()[:16]


def resume(checkpoint: Path, origin: str, parts: Mapping[str, Any]) -> tuple[int, float]:
    """The step to go on from and the seconds spent so far, the parts as they were then; 0 without a checkpoint that
    started from the same weights and schedule."""
    if not checkpoint.exists():
        return 0, 0.0
    states = load_tensors(checkpoint)
    if states.get("origin") != origin:
        return 0, 0.0
    for name, part in parts.items():
        part.load_state_dict(states[name])
    return int(states["step"]), float(states["seconds"])


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 on CUDA. On CPUs, even those with bfloat16 instructions, the backward pass of a depthwise
    convolution is 2 to 4 times slower in it than in float32 with channels_last."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
