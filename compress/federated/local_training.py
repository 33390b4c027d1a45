"""One round of training at a client, on the client's own data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import torch
from torch import Tensor

from compress.data.crops import Crops, CropsOfImages
from compress.data.resizing import at_scale
from compress.federated.task import Task
from compress.training.class_weights import class_weights
from compress.training.label_losses import LABEL_TERMS, label_loss
from compress.training.log import LOG_FILE, read_log
from compress.training.loop import StepLosses, autocast, fit
from compress.training.term_weights import parse_terms
from compress.training.trainee import Trainee
from search_spaces.network import Network


def round_seed(task: Task, client: str, number: int) -> int:
    """The seed of a client's crops in a round.

    Args:
        task: The task.
        client: The client's name.
        number: The round, from 1.

    Returns:
        A number that differs between clients and between rounds.
    """
    return crc32(f"{task.seed} {client} {number}".encode())


@dataclass(frozen=True)
class LocalRound:
    """One round of training at one client.

    Attributes:
        crops: The client's crops, with the seed of the round.
        task: The task.
        number: The round, from 1.
        folder: Where the client keeps its files: checkpoint.pt and log.csv, with privacy privacy.json.
        device: The device to train on.
        proximal_mu: The weight of FedProx's term (Li et al. 2020): half of it, times the squared distance from the
            weights at the beginning, is added to the loss. 0 for none.
    """

    crops: Crops
    task: Task
    number: int
    folder: Path
    device: torch.device
    proximal_mu: float = 0.0


def train_locally(network: Network, local: LocalRound) -> float:
    """Trains a network in place for the steps of one round; a killed training goes on from its checkpoint.

    The learning rate is that of the round's steps in the schedule of all rounds. The optimizer starts anew.

    Args:
        network: The network with the weights that the round begins with.
        local: The round.

    Returns:
        The mean loss of the last steps.

    Raises:
        DivergedError: A loss or a weight is not finite.
        InputError: A file is damaged.
    """
    task, crops, folder = local.task, local.crops, local.folder
    network.to(local.device)
    steps = replace(task.schedule, steps=task.local_steps)
    trainee = Trainee.of(network, task.schedule)
    trainee.advance((local.number - 1) * task.local_steps)
    losses = local_losses(network, local)
    key = f"{local.number} {local.proximal_mu} {crops.seed} {task.to_json()}"
    title, checkpoint = f"round {local.number}", folder / "checkpoint.pt"
    fit(network, losses, crops, steps, checkpoint, title, None, key, lambda seconds: None, trainee)
    return float(read_log(folder / LOG_FILE)[-1][2])


def train_round(network: Network, local: LocalRound) -> dict[str, float]:
    """Trains a network in place for the steps of one round, privately where the task asks for it.

    A private round has the same weight for all classes, and its loss is not told: both would come from the images
    without noise.

    Args:
        network: The network with the weights that the round begins with.
        local: The round.

    Returns:
        What the server is told: the loss, 0 in a private round, and there epsilon and delta.

    Raises:
        BudgetSpentError: The round would spend more than epsilon.
        DivergedError: A loss or a weight is not finite.
        InputError: A file is damaged.
    """
    task, crops = local.task, local.crops
    if task.privacy is None:
        return {"loss": train_locally(network, local)}
    from compress.training.private import sample_losses  # Opacus is an extra
    from compress.training.private_rounds import fit_round_privately

    assert isinstance(crops, CropsOfImages)
    network.to(local.device)
    on_labels = label_loss(parse_terms(task.loss, LABEL_TERMS), crops.data.ignore, torch.ones(len(task.classes)))
    losses = sample_losses(network, task.input_size, on_labels)
    key = f"{crops.seed} {task.to_json()}"
    record = fit_round_privately(
        network, losses, crops, task.schedule, task.rounds, local.number, task.privacy, local.folder, key
    )
    return {"loss": 0.0, "epsilon": record["epsilon"], "delta": record["delta"]}


def local_losses(network: Network, local: LocalRound) -> StepLosses:
    """The loss of a client: the run's loss on its labels, and FedProx's term.

    Args:
        network: The network with the weights that the round begins with, on the round's device.
        local: The round; the weights of the classes follow the client's own pixels.

    Returns:
        The losses for `compress.training.loop.fit`: one a step.

    Raises:
        InputError: A loss or a class weighting is unknown.
    """
    task, data, proximal_mu = local.task, local.crops.data, local.proximal_mu
    weights = class_weights(task.class_weights, data.class_counts)
    on_labels = label_loss(parse_terms(task.loss, LABEL_TERMS), data.ignore, weights)
    begun = {name: value.detach().clone() for name, value in network.named_parameters()} if proximal_mu else {}

    def losses(images: Tensor, masks: Tensor, step: int) -> Iterator[Tensor]:
        seen = at_scale(images, network.genotype.resolution, task.input_size)
        with autocast(local.device):
            logits = network(seen).float()
        loss = on_labels(logits, masks)
        yield loss + proximal_mu / 2 * squared_distance(network, begun) if proximal_mu else loss

    return losses


def squared_distance(network: Network, begun: Mapping[str, Tensor]) -> Tensor:
    """The squared distance between a network's parameters and earlier ones.

    Args:
        network: The network.
        begun: The earlier parameters by name.

    Returns:
        One number.
    """
    return torch.stack([(value - begun[name]).square().sum() for name, value in network.named_parameters()]).sum()
