"""Trains the search's winner, which starts from the weights it had at the end of the search.

A winner that need not be pruned has no better teacher than itself. It is trained for the steps of recovery and
distillation too, because all steps at once gain more (benchmarks/stages.md).
"""

import time
from dataclasses import replace

from compress.stages.fitting import fit_network
from compress.stages.options import TrainOptions
from compress.stages.records import record_network
from compress.stages.run import SEARCH, Run

SEED = 2  # of the crops


def train(
    run: Run,
    dp_epsilon: float | None = None,
    dp_delta: float | None = None,
    max_grad_norm: float | None = None,
    private_data: str = "",
) -> None:
    """Trains the search's winner and records it in RUN/train.

    Args:
        run: The run; its search is done.
        dp_epsilon: The bound of a differentially private training; None for a training without one.
        dp_delta: The probability with which the bound need not hold; None for 1 / (10 * images).
        max_grad_norm: The norm to which the gradient of each image is clipped; None for 1.
        private_data: The data set that a private training reads; empty for the run's own.

    Raises:
        InputError: The training diverged, a file is damaged, a flag is wrong, or the training would spend more than
            epsilon.
    """
    privacy = TrainOptions(dp_epsilon, dp_delta, max_grad_norm, private_data).privacy
    begun = time.monotonic()
    network, schedule = run.network(SEARCH), run.config.schedule("train")
    if run.latency_model.predict(network.graph) <= run.config.pruned_ms:
        schedule = replace(
            schedule, steps=schedule.steps + run.config.schedule("recover").steps + run.config.schedule("distill").steps
        )
    if privacy is not None:
        from compress.stages.private_training import train_privately  # Opacus is an extra

        train_privately(run, network, schedule, privacy, private_data, SEED, begun)
        return

    def save(seconds: float) -> None:
        record_network(run, "train", network, run.miou(network), begun)

    fit_network(run, network, schedule, run.path / "train", "train", seed=SEED, save=save)
