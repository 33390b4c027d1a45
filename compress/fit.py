"""The one training loop. It checkpoints as it goes and continues from the last checkpoint."""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from compress import distributed
from compress.batches import Crops, training_batches
from compress.run import load_tensors, save_tensors

CHECKPOINT_SECONDS = 20.0
Losses = Callable[[Tensor, Tensor], Iterator[Tensor]]


@dataclass(frozen=True)
class Schedule:
    """`steps` optimizer steps on `batch` crops of `crop` pixels; AdamW, one cycle up to `lr` (Smith 2018)."""

    steps: int
    batch: int
    crop: int
    lr: float = 4e-3
    weight_decay: float = 1e-3


def fit(
    model: nn.Module,
    losses: Losses,
    crops: Crops,
    schedule: Schedule,
    checkpoint: Path,
    title: str,
    rungs: int = 0,
    at_rung: Callable[[int], None] = lambda rung: None,
    taught: str = "",
) -> float:
    """Trains `model` in place and returns the seconds it took, those before a kill included.

    `losses(images, masks)` yields one loss or several; each is propagated before the next is computed, so a
    sandwich of subnets needs the memory of one. `crops` must hold steps * batch items. A checkpoint that
    exists is continued from if it started from the same weights, schedule and losses (`taught` spells these out where
    they vary); it is left for the caller to remove once the result is saved. `at_rung(1)` to `at_rung(rungs)` are
    called at even distances, the last at the end, with the model in eval mode; what it raises ends the training. In a
    process group (`compress.distributed`) the ranks share each batch.
    """
    device = next(model.parameters()).device
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=schedule.lr, weight_decay=schedule.weight_decay)
    total = schedule.steps + 1
    warm_up = max(0.2, 2 / total)  # of the cycle; the scheduler divides by its length less one
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, schedule.lr, total_steps=total, pct_start=warm_up)
    origin = origin_of(model, schedule, taught)
    start, spent = resume(checkpoint, origin, model, optimizer, cycle)
    saved = time.monotonic()
    begun = saved - spent
    bar = tqdm(
        total=schedule.steps, initial=start, desc=title, unit="step", dynamic_ncols=True, disable=distributed.rank() > 0
    )
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
        cycle.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        bar.update()
        if distributed.rank() == 0 and time.monotonic() - saved > CHECKPOINT_SECONDS:
            states = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "cycle": cycle.state_dict()}
            saved = time.monotonic()
            save_tensors({**states, "step": step + 1, "seconds": saved - begun, "origin": origin}, checkpoint)
        if (rung := (step + 1) * rungs // schedule.steps) > step * rungs // schedule.steps:
            model.eval()
            at_rung(rung)
            model.train()
    bar.close()
    model.eval()
    return time.monotonic() - begun


def origin_of(model: nn.Module, schedule: Schedule, taught: str) -> str:
    """Names what a training starts from, so that a checkpoint of another one is not mistaken for its own."""
    hashed = hashlib.sha256(f"{schedule!r} {taught}".encode())
    for name, value in model.state_dict().items():
        hashed.update(name.encode())
        hashed.update(value.cpu().contiguous().numpy().tobytes())
    return hashed.hexdigest()[:16]


def resume(
    checkpoint: Path,
    origin: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    cycle: torch.optim.lr_scheduler.LRScheduler,
) -> tuple[int, float]:
    """The step to go on from and the seconds spent so far: 0 without a checkpoint that started from the same weights
    and schedule."""
    if not checkpoint.exists():
        return 0, 0.0
    states = load_tensors(checkpoint)
    if states.get("origin") != origin:
        return 0, 0.0
    model.load_state_dict(states["model"])
    optimizer.load_state_dict(states["optimizer"])
    cycle.load_state_dict(states["cycle"])
    return int(states["step"]), float(states["seconds"])


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 on CUDA. On CPUs, even those with bfloat16 instructions, the backward pass of a depthwise
    convolution is 2 to 4 times slower in it than in float32 with channels_last."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
