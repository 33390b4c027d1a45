"""Trains the search's winner, which starts from the weights it had at the end of the search.

Two trainings of one network with other crops may end several points of mIoU apart. So the winner is trained several
times from the same weights, side by side, and the weights are averaged (model soups, Wortsman et al. 2022, the greedy
one). A winner that need not be pruned has no better teacher than itself. It is trained for the steps of recovery and
distillation too, because all steps at once gain more (benchmarks/stages.md).
"""

import shutil
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

from compress.files.tensors import load_network
from compress.stages.options import TrainOptions
from compress.stages.records import record_network
from compress.stages.run import SEARCH, Run
from compress.stages.side_by_side import Training, train_side_by_side
from compress.training.averaging import mean_network
from compress.training.checkpoint import origin_of
from compress.training.log import LOG_FILE
from compress.training.schedule import Schedule
from search_spaces.network import Network

SEED = 2  # of the crops of the first member; each further one adds MEMBER_SEED
MEMBER_SEED = 9


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

    trainings = members_of(run, network, schedule)
    train_side_by_side(run, trainings)
    folders = [training.file.parent for training in trainings]
    shutil.copyfile(folders[0] / LOG_FILE, run.path / "train" / LOG_FILE)
    network, miou, mious = soup(run, [load_network(training.file) for training in trainings])
    record_network(run, "train", network, miou, begun, member_mious=mious)
    for folder in folders:
        shutil.rmtree(folder)


def members_of(run: Run, network: Network, schedule: Schedule) -> list[Training]:
    """The trainings of a network whose weights are averaged.

    Args:
        run: The run, whose preset says how many there are.
        network: The network that all start from.
        schedule: The length and the learning rate of each.

    Returns:
        The trainings. Their folders in RUN/train have names that depend on the network, so that what a killed training
        left of another one is not used.
    """
    count = run.config.preset_values.members
    origin = origin_of(network, schedule, run.training_key)
    return [
        Training(
            deepcopy(network),
            schedule,
            run.path / "train" / f"{origin}-{number}" / "network.pt",
            "train" if count == 1 else f"train {number} of {count}",
            SEED + MEMBER_SEED * (number - 1),
        )
        for number in range(1, count + 1)
    ]


def soup(run: Run, members: Sequence[Network]) -> tuple[Network, float, list[float]]:
    """Averages the weights of networks that were trained from the same start.

    The best member comes first. Each further one joins the average where the validation mIoU does not fall by it.

    Args:
        run: The run.
        members: The networks.

    Returns:
        The average, its mIoU (0..1), and those of the members.
    """
    mious = [run.miou(member) for member in members]
    ranked = sorted(zip(mious, members, strict=True), key=lambda pair: -pair[0])
    miou, best = ranked[0]
    joined = [best]
    for _, member in ranked[1:]:
        together = mean_network([*joined, member])
        if (miou_together := run.miou(together)) >= miou:
            miou, best = miou_together, together
            joined.append(member)
    return best, miou, mious
