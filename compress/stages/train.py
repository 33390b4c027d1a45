"""Trains the search's winner, starting from the weights it had in the supernet.

One that need not be pruned is trained for the steps of recovery and distillation too, for it has no better teacher than
itself: all steps at once are worth more (benchmarks/stages.md).
"""

import time
from dataclasses import replace

from compress.stages.fitting import fit_network
from compress.stages.run import SEARCH, Run, record_network


def train(run: Run) -> None:
    """Trains the search's winner and records it in RUN/train.

    Args:
        run: The run; its search is done.

    Raises:
        InputError: The training diverged, or a file is damaged.
    """
    begun = time.monotonic()
    network, preset = run.network(SEARCH), run.settings.schedules
    schedule = preset.train
    if run.table.predict(network.graph) <= run.settings.pruned_ms:
        schedule = replace(schedule, steps=schedule.steps + preset.recover.steps + preset.distill.steps)

    def save(seconds: float) -> None:
        record_network(run, "train", network, run.miou(network), begun)

    fit_network(run, network, schedule, run.path / "train", "train", seed=2, save=save)
