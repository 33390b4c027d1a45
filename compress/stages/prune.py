"""Removes channels from the trained network until the table says it is fast enough (channel pruning).

A network that is fast enough already is left as it is. With several rounds the way to the target is cut into steps of
equal ratio, each followed by recovery training. A round whose network is not faster when measured on the target is
undone. The result is a narrower genotype and plain weights.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from compress.files.atomic import digest
from compress.pruning.channel_pruning import CropLosses, prune_to
from compress.pruning.importances import GRADIENT_IMAGES, crop_losses
from compress.stages.fitting import CHECKPOINT, fit_network
from compress.stages.options import PruneOptions
from compress.stages.prune_rounds import SaveRound, prune_in_rounds
from compress.stages.records import record_network
from compress.stages.run import Run
from compress.tflite.writer import random_weight_model
from compress.training.schedule import Schedule
from search_spaces.network import Network

MEASUREMENTS = 3  # of a round; the fastest counts, because what disturbs a measurement makes it slower


def prune(run: Run, target_ms: float | None = None, importance: str = PruneOptions.importance, rounds: int = 1) -> None:
    """Prunes the trained network and records it in RUN/prune.

    Args:
        run: The run; its training is done.
        target_ms: The predicted latency to reach, in ms; None for the run's share of the budget.
        importance: What a channel is worth; a key of IMPORTANCES.
        rounds: Steps of cutting and recovery training.

    Raises:
        InputError: A value is out of range, no network is as fast as that, or a recovery training diverged.
    """
    PruneOptions(target_ms, importance, rounds)  # refuses values out of range
    begun = time.monotonic()
    folder = run.path / "prune"
    trained = run.before("prune")
    network = run.network(trained)
    start = run.latency_model.predict(network.graph)
    goal = run.config.pruned_ms if target_ms is None else target_ms
    if start <= goal:
        print(f"prune: {start:.2f} ms predicted, {goal:.2f} ms asked for: nothing to cut")
        rounds = 0
    asked = {"source": digest(run.made(trained)), "target_ms": goal, "importance": importance, "rounds": rounds}

    def one_round(wide: Network, step_ms: float, number: int, save: SaveRound) -> None:
        prune_round(run, wide, step_ms, importance, folder, number, save)

    state = folder / "rounds.pt"
    network, done = prune_in_rounds(network, run.latency_model, goal, rounds, state, asked, one_round)
    miou = done[-1]["miou"] if done else run.metrics(trained)["miou"]
    record_network(run, "prune", network, miou, begun, target_ms=goal, importance=importance, rounds=done)
    # a kill after the last round is saved and before `fit` deletes its checkpoint leaves that too
    for leftover in (folder / CHECKPOINT, state):
        leftover.unlink(missing_ok=True)


def importance_losses(run: Run, crop: int) -> CropLosses:
    """The losses by which gradients say what a channel is worth.

    Args:
        run: The run.
        crop: Side of a crop in pixels.

    Returns:
        A function that gives the loss of a network on each of GRADIENT_IMAGES crops.
    """

    def losses(network: Network) -> Iterator[Tensor]:
        crops = run.crops(Schedule(GRADIENT_IMAGES, 1, crop), seed=30)
        return crop_losses(network, crops, run.config.input_size, run.label_loss)

    return losses


def prune_round(
    run: Run, network: Network, target_ms: float, importance: str, folder: Path, number: int, save: SaveRound
) -> None:
    """One round: cuts, measures, and trains what is left.

    Args:
        run: The run.
        network: The network before the round.
        target_ms: The predicted latency to reach, in ms.
        importance: What a channel is worth.
        folder: The stage's folder.
        number: The round, from 1.
        save: Saves the network after the round (the one before it if the cut gains nothing) and the round's figures.
    """
    schedule = run.config.schedule("recover")
    losses = importance_losses(run, schedule.crop)
    narrow = prune_to(network.to(run.device), run.latency_model, target_ms, importance, losses)
    before_ms, after_ms = measured_ms(run, network, narrow)
    undone = narrow.genotype != network.genotype and after_ms >= before_ms

    def finish(kept: Network) -> None:
        figures: dict[str, Any] = {
            "predicted_latency_ms": run.latency_model.predict(kept.graph),
            "latency_before_ms": before_ms,
            "latency_ms": after_ms,
            "undone": undone,
            "miou": run.miou(kept),
        }
        save(kept.cpu(), figures)

    if undone:
        print(f"prune: round {number} is undone: {after_ms:.2f} ms measured, no less than {before_ms:.2f} ms before")
        finish(network)
    else:
        title = f"prune: recovery {number}"
        fit_network(run, narrow, schedule, folder, title, seed=30 + number, save=lambda _: finish(narrow))


def measured_ms(run: Run, *networks: Network) -> list[float]:
    """Measures networks on the target, MEASUREMENTS times in turns.

    Args:
        run: The run.
        networks: The networks; their weights do not matter.

    Returns:
        The least ms of each.
    """
    models = [random_weight_model(network.graph) for network in networks]
    repeats = [run.target.measure(models) for _ in range(MEASUREMENTS)]
    return [min(latency.ms for latency in latencies) for latencies in zip(*repeats, strict=True)]
