"""Trains the search's winner, which starts from the weights it had in the supernet.

A winner that need not be pruned has no better teacher than itself. It is trained for the steps of recovery and
distillation too, because all steps at once gain more (benchmarks/stages.md).
"""

import time
from dataclasses import replace

from compress.stages.fitting import fit_network
from compress.stages.records import record_network
from compress.stages.run import SEARCH, Run


def train(run: Run) -> None:
    """Trains the search's winner and records it in RUN/train.

    Args:
        run: The run; its search is done.

    Raises:
        InputError: The training diverged, or a file is damaged.
    """
    begun = time.monotonic()
    network, schedule = run.network(SEARCH), run.config.schedule("train")
    if run.latency_model.predict(network.graph) <= run.config.pruned_ms:
        schedule = replace(
            schedule, steps=schedule.steps + run.config.schedule("recover").steps + run.config.schedule("distill").steps
        )

    def save(seconds: float) -> None:
        record_network(run, "train", network, run.miou(network), begun)

    fit_network(run, network, schedule, run.path / "train", "train", seed=2, save=save)
