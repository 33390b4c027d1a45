"""Trains the search's winner to the end, unless the search has done so.

A search trains its last two finalists to the end and takes the better one (`nas.finals`). Then nothing is left to do
here.
"""

import time
from dataclasses import replace

from compress.files.atomic import write_atomically
from compress.stages.config import RunConfig
from compress.stages.fitting import fit_network
from compress.stages.options import TrainOptions
from compress.stages.records import record_network
from compress.stages.run import SEARCH, Run
from compress.training.log import LOG_FILE
from compress.training.schedule import Schedule

SEED = 2  # of the crops


def winner_schedule(config: RunConfig, predicted_ms: float) -> Schedule:
    """How a winner is trained.

    One that need not be pruned has no better teacher than itself. So it gets the steps of recovery and distillation
    too, because all steps at once gain more (benchmarks/stages.md).

    Args:
        config: The run's settings.
        predicted_ms: The winner's predicted latency, ms.

    Returns:
        The schedule.
    """
    schedule = config.schedule("train")
    if predicted_ms > config.pruned_ms:
        return schedule
    return replace(schedule, steps=schedule.steps + config.schedule("recover").steps + config.schedule("distill").steps)


def train(
    run: Run,
    dp_epsilon: float | None = None,
    dp_delta: float | None = None,
    max_grad_norm: float | None = None,
    private_data: str = "",
) -> None:
    """Trains the search's winner and records it in RUN/train.

    A winner that the search trained to the end is recorded as it is. A differentially private training goes on from it.

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
    network = run.network(SEARCH)
    schedule = winner_schedule(run.config, run.latency_model.predict(network.graph))
    if privacy is not None:
        from compress.stages.private_training import train_privately  # Opacus is an extra

        train_privately(run, network, schedule, privacy, private_data, SEED, begun)
        return

    def save(seconds: float) -> None:
        record_network(run, "train", network, run.miou(network), begun)

    trained = run.trained_folder(network.genotype)
    if (trained / "network.pt").exists():
        print("train: the search has trained the winner to the end, so it is taken as it is")
        if (trained / LOG_FILE).exists():
            write_atomically(run.path / "train" / LOG_FILE, (trained / LOG_FILE).read_bytes())
        save(0.0)
        return
    fit_network(run, network, schedule, run.path / "train", "train", seed=SEED, save=save)
