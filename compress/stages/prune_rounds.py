"""Pruning in rounds, and the file from which a killed one goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from compress.files.tensors import load_network_and_facts, save_network
from compress.latency.latency_model import LatencyModel
from search_spaces.network import Network

Figures = dict[str, Any]
SaveRound = Callable[[Network, Figures], None]
PruneRound = Callable[[Network, float, int, SaveRound], None]  # of (network, ms to reach, round from 1, save)


def prune_in_rounds(
    network: Network,
    latencies: LatencyModel,
    target_ms: float,
    rounds: int,
    state: Path,
    asked: Figures,
    prune_round: PruneRound,
) -> tuple[Network, list[Figures]]:
    """Prunes a network step by step; the steps have equal ratios of predicted latency.

    A killed pruning goes on after its last whole round.

    Args:
        network: The network to prune.
        latencies: Predicts latencies.
        target_ms: The predicted latency to reach in the end, in ms.
        rounds: The number of rounds; 0 leaves the network as it is.
        state: The file that keeps the network after each round; the caller deletes it once the result is saved.
        asked: Plain values that name the network and what is asked for; a file with other values is not used.
        prune_round: Does one round and passes the network after it to `save`, with the round's figures.

    Returns:
        The network after the last round, and the figures of each round.

    Raises:
        InputError: The file is damaged.
    """
    start_ms = latencies.predict(network.graph)
    network, done = rounds_done(state, asked) or (network, [])
    for number in range(len(done) + 1, rounds + 1):
        step_ms = start_ms * (target_ms / start_ms) ** (number / rounds)

        def save(after: Network, figures: Figures, number: int = number, step_ms: float = step_ms) -> None:
            nonlocal network
            network = after
            done.append({"round": number, "target_ms": step_ms, **figures})
            save_network(network, state, asked=asked, done=done)

        prune_round(network, step_ms, number, save)
    return network, done


def rounds_done(path: Path, asked: Figures) -> tuple[Network, list[Figures]] | None:
    """Reads the file of a killed pruning.

    Args:
        path: The file.
        asked: What is asked for.

    Returns:
        The network after the last whole round and the figures of each; None without a file, or if something else was
        asked for or another network was pruned.

    Raises:
        InputError: The file is damaged.
    """
    if not path.exists():
        return None
    network, facts = load_network_and_facts(path, "asked", "done")
    return (network, facts["done"]) if facts["asked"] == asked else None
