"""What a run folder says about privacy: the record of its training, and what other stages read without noise."""

from typing import Any

from compress.stages.run import METRICS, Run

PRIVACY_KEY = "privacy"  # of metrics.json and of model.json


def privacy_record(run: Run) -> dict[str, Any] | None:
    """What the training promised and spent.

    Args:
        run: The run, trained.

    Returns:
        The entry of RUN/train/metrics.json; None without one.

    Raises:
        InputError: The record is damaged.
    """
    trained = (run.path / "train" / METRICS).is_file()
    found: dict[str, Any] | None = run.metrics("train").get(PRIVACY_KEY) if trained else None
    return found


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
    return {**{name: record[name] for name in kept}, "without_noise": readers_without_noise(run)}


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
