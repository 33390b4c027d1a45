"""Narrows the trained network until the
table says it is fast enough; one that is already is left as it is.

Channels go in eights, each time where the milliseconds saved per importance lost are most. Groups of
coupled channels and their importance are torch-pruning's (DepGraph, Fang et al. 2023; `compress.pruning.importances`).
With --rounds the way to the target is cut into as many steps of equal ratio, each followed by recovery training; a step
that does not lower the latency measured on the target is undone. The result is a narrower genotype and plain weights.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from compress.files.atomic import digest
from compress.files.tensors import load_network_and_facts, save_network
from compress.pruning.channel_pruning import prune_to
from compress.pruning.importances import DEFAULT, GRADIENT_IMAGES, crop_losses
from compress.stages.fitting import fit_network
from compress.stages.run import Run, record_network
from compress.tflite.writer import random_weight_model
from compress.training.schedule import Schedule
from search_spaces.errors import InputError
from search_spaces.network import Network

LOOKS = 3  # measurements of a round, of which the fastest counts: what disturbs makes slower


def prune(run: Run, target_ms: float | None = None, importance: str = DEFAULT, rounds: int = 1) -> None:
    if target_ms is not None and not target_ms > 0:
        raise InputError(f"--target-ms {target_ms:g}: give a positive number of milliseconds")
    if rounds < 1:
        raise InputError(f"--rounds {rounds}: give a positive number")
    begun = time.monotonic()
    folder = run.path / "prune"
    network = run.network("train")
    start = run.table.predict(network.graph)
    goal = run.settings.pruned_ms if target_ms is None else target_ms
    if start <= goal:
        print(f"prune: {start:.2f} ms predicted, {goal:.2f} ms asked for: nothing to cut")
        rounds = 0
    asked = {"source": digest(run.made("train")), "target_ms": goal, "importance": importance, "rounds": rounds}
    state = folder / "rounds.pt"
    network, done = rounds_done(state, asked) or (network, [])
    for number in range(len(done) + 1, rounds + 1):
        step = start * (goal / start) ** (number / rounds)
        network, figures = prune_round(run, network, step, importance, folder, number)
        done.append({"round": number, "target_ms": step, **figures})
        save_network(network, state, asked=asked, done=done)
    miou = done[-1]["miou"] if done else run.miou(network)
    record_network(run, "prune", network, miou, begun, target_ms=goal, importance=importance, rounds=done)
    for leftover in (folder / "checkpoint.pt", state):
        leftover.unlink(missing_ok=True)


def prune_round(
    run: Run, network: Network, target_ms: float, importance: str, folder: Path, number: int
) -> tuple[Network, dict[str, Any]]:
    """The narrower network after its recovery training, or the same one if the cut gains nothing on the target; and
    the round's figures."""

    def losses(of: Network) -> Iterator[Tensor]:
        crops = run.crops(Schedule(GRADIENT_IMAGES, 1, run.settings.schedules.recover.crop), seed=30)
        return crop_losses(of, crops, run.settings.input_size, run.label_loss)

    narrow = prune_to(network.to(run.device), run.table, target_ms, importance, losses)
    looks = [
        run.target.measure([random_weight_model(network.graph), random_weight_model(narrow.graph)])
        for _ in range(LOOKS)
    ]
    before_ms, after_ms = (min(look[which].ms for look in looks) for which in (0, 1))
    undone = narrow.genotype != network.genotype and after_ms >= before_ms
    if undone:
        print(f"prune: round {number} is undone: {after_ms:.2f} ms measured, no less than {before_ms:.2f} ms before")
        narrow = network
    else:
        fit_network(run, narrow, run.settings.schedules.recover, folder, f"prune: recovery {number}", seed=30 + number)
    figures = {
        "predicted_latency_ms": run.table.predict(narrow.graph),
        "latency_before_ms": before_ms,
        "latency_ms": after_ms,
        "undone": undone,
        "miou": run.miou(narrow),
    }
    return narrow.cpu(), figures


def rounds_done(path: Path, asked: dict[str, Any]) -> tuple[Network, list[dict[str, Any]]] | None:
    """The network after the last whole round and the figures of each; None unless the same was asked of the same
    network."""
    if not path.exists():
        return None
    network, facts = load_network_and_facts(path, "asked", "done")
    return (network, facts["done"]) if facts["asked"] == asked else None
