"""python -m compress.train RUN: trains the search's winner, starting from the weights it had in the supernet.

One that need not be pruned is trained for the steps of recovery and distillation too, for it has no better teacher than
itself: all steps at once are worth more (benchmarks/stages.md).
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compress.batches import at_scale
from compress.fit import Schedule, autocast, fit
from compress.losses import DISTILLATION_TERMS, weighted_sum
from compress.stage import SEARCH, Run, record_network, stage_command
from compress.teacher import Teaching
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
    `compress.fit`'s rungs."""
    network.to(run.device)
    losses = network_losses(run, network, network.genotype.resolution, teaching)
    taught = f"{run.recipe} {teaching.spelling if teaching else ''}"
    checkpoint = folder / "checkpoint.pt"
    features = teaching.features if teaching else None
    trained = network if features is None else nn.ModuleList([network, features.linears])
    fit(trained, losses, run.crops(schedule, seed), schedule, checkpoint, title, taught=taught, **watch)


def train(run: Run) -> None:
    begun = time.monotonic()
    network, preset = run.network(SEARCH), run.settings.schedules
    schedule = preset.train
    if run.table.predict(network.graph) <= run.settings.pruned_ms:
        schedule = replace(schedule, steps=schedule.steps + preset.recover.steps + preset.distill.steps)
    fit_network(run, network, schedule, run.path / "train", "train", seed=2)
    record_network(run, "train", network, run.miou(network), begun)
    (run.path / "train" / "checkpoint.pt").unlink(missing_ok=True)


if __name__ == "__main__":
    stage_command("train", __doc__, train)
