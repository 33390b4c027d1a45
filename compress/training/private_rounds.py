"""A client's rounds of a federated training, with differential privacy for the client's own images.

The noise is found once for the steps of all rounds. The client keeps in its folder what it has spent, and takes no part
in a round that would spend more than epsilon.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from compress.data.crops import CropsOfImages
from compress.files.records import read_record, write_record
from compress.training.privacy import Privacy
from compress.training.privacy_accounting import Spent, plan_noise
from compress.training.private import SampleLosses, fit_privately
from compress.training.schedule import Schedule

CHECKPOINT, RECORD, ROUNDS = "checkpoint.pt", "privacy.json", "rounds"


def fit_round_privately(
    model: nn.Module,
    losses: SampleLosses,
    crops: CropsOfImages,
    whole: Schedule,
    rounds: int,
    number: int,
    privacy: Privacy,
    folder: Path,
    training_key: str = "",
) -> dict[str, Any]:
    """Trains a network in place for one round; a killed one goes on from FOLDER/checkpoint.pt.

    FOLDER/privacy.json keeps what is spent. A round that is asked for again after it was finished is trained again, and
    spent again.

    Args:
        model: The network with the weights that the round begins with, on the device it trains on.
        losses: A loss for each image of (images, masks).
        crops: The client's crops, one of each image for each step of the round.
        whole: The schedule of all rounds.
        rounds: How many rounds there are.
        number: The round, from 1.
        privacy: The bound.
        folder: The client's folder.
        training_key: Text that differs when the losses or the images differ.

    Returns:
        What is promised and spent (`NoisePlan.record`).

    Raises:
        BudgetSpentError: The round would spend more than epsilon; no step is taken.
        DivergedError: A loss or a weight is not finite.
        InputError: A file is damaged.
    """
    steps = whole.steps // rounds
    plan = plan_noise(privacy, len(crops.data.train), whole.batch, whole.steps)
    after = _spent_after_rounds(folder)
    before = spent_before_round(after, number, resumed=(folder / CHECKPOINT).exists())

    def save(seconds: float, spent: Spent) -> None:
        kept = {**{str(one): list(of) for one, of in after.items()}, str(number): list(spent)}
        write_record(folder / RECORD, {**plan.record(spent), ROUNDS: kept})

    key, title = f"{training_key} round {number} of {rounds}", f"round {number}"
    schedule, done = replace(whole, steps=steps), (number - 1) * steps
    spent = fit_privately(
        model, losses, crops, schedule, plan, folder / CHECKPOINT, title, key, save, before, whole, done
    )
    return plan.record(spent)


def spent_before_round(after: Mapping[int, Spent], number: int, resumed: bool) -> Spent:
    """What a client has spent before it trains in a round.

    Args:
        after: What it had spent after each round that it finished.
        number: The round, from 1.
        resumed: Whether there is a checkpoint. A round that was finished and has one was killed before it was deleted:
            it ends at once with the same weights, and its steps are not spent again.

    Returns:
        What is spent.
    """
    counted = [one for one in after if one < number or not resumed]
    return after[max(counted)] if counted else ()


def _spent_after_rounds(folder: Path) -> dict[int, Spent]:
    """What the client had spent after each round."""
    path = folder / RECORD
    if not path.is_file():
        return {}
    stored = read_record(path, "restore it from a copy: without it nobody knows what is spent")
    return {int(one): [(float(n), float(r), int(s)) for n, r, s in spent] for one, spent in stored[ROUNDS].items()}
