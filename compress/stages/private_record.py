"""What a run folder says about privacy: the record of its training, and what other stages read without noise."""

from collections.abc import Mapping, Sequence
from typing import Any

from compress.stages.run import FEDERATE, METRICS, Run
from compress.training.privacy import UNIT, Privacy

PRIVACY_KEY = "privacy"  # of metrics.json and of model.json


def privacy_record(run: Run) -> dict[str, Any] | None:
    """What the training promised and spent.

    Args:
        run: The run, trained.

    Returns:
        The entry of metrics.json, of `federate` before `train`; None without one.

    Raises:
        InputError: The record is damaged.
    """
    for stage in (FEDERATE, "train"):
        found: dict[str, Any] | None = run.metrics(stage).get(PRIVACY_KEY) if _is_recorded(run, stage) else None
        if found is not None:
            return found
    return None


def _is_recorded(run: Run, stage: str) -> bool:
    return (run.path / stage / METRICS).is_file()


def federated_privacy(rounds: Sequence[Mapping[str, Any]], privacy: Privacy) -> dict[str, Any]:
    """What the clients of a federated training have spent.

    Args:
        rounds: The records of the rounds.
        privacy: The bound that every client had.

    Returns:
        The greatest epsilon and delta of a client, each for an image of that client.
    """
    told = [client for one in rounds for client in one["clients"]]
    return {
        "epsilon": max(client["epsilon"] for client in told),
        "delta": max(client["delta"] for client in told),
        "unit": f"{UNIT} of a client",
        "epsilon_allowed": privacy.epsilon,
        "max_grad_norm": privacy.max_grad_norm,
        "own_data": False,
    }


def trained_on_own_data(run: Run) -> bool:
    """Whether the run's own training images are the private ones, which other stages read too.

    Args:
        run: The run, trained.

    Returns:
        True or false.

    Raises:
        InputError: The record is damaged.
    """
    record = privacy_record(run)
    return record is not None and bool(record["own_data"])


def privacy_card(run: Run) -> dict[str, Any] | None:
    """What model.json says about privacy.

    Args:
        run: The run, quantized.

    Returns:
        The bound, what was spent, and under `without_noise` what has read the same images without noise; None after a
        training without privacy.

    Raises:
        InputError: A record is damaged.
    """
    record = privacy_record(run)
    if record is None:
        return None
    kept = ("epsilon", "delta", "unit", "max_grad_norm", "noise_multiplier", "accountant")
    return {**{name: record[name] for name in kept if name in record}, "without_noise": readers_without_noise(run)}


def readers_without_noise(run: Run) -> list[str]:
    """What has read the private images without noise, so that the bound does not cover it.

    Args:
        run: The run, quantized.

    Returns:
        A phrase for each; nothing where no other stage reads the private images.

    Raises:
        InputError: A record is damaged.
    """
    if not trained_on_own_data(run):
        return []
    found = ["the search: the architecture and the weights that the training starts from"]
    quantized = run.metrics("quantize")
    if run.metrics("prune").get("rounds"):
        found.append("the pruning and the training after it")
    if run.metrics("distill").get("taught_miou") is not None:
        found.append("the distillation")
    if quantized["qat_steps"]:
        found.append("the training with int8 simulated")
    if quantized.get("calibration", "train") == "train":
        found.append("the ranges of int8 values")
    return found
