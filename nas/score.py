"""What a candidate is worth: its subnet's mIoU in the supernet, and MnasNet's reward."""

from collections.abc import Sequence

import torch
from torch import Tensor

from compress.batches import Crops, Validation, training_batches
from compress.evaluate import evaluate
from compress.metrics import mean_iou
from nas.supernet import Supernet, calibrate_batch_norm, extract
from search_spaces.genotype import Genotype
from search_spaces.network import Network

CALIBRATION_BATCHES = 6
OVER_BUDGET_EXPONENT = -0.07  # MnasNet's w (Tan et al. 2019, section 4.1)


def reward(miou: float, latency_ms: float, budget_ms: float) -> float:
    """`miou * (latency_ms / budget_ms) ** w`, w = 0 within the budget (MnasNet, Tan et al. 2019, equation 2)."""
    exponent = 0.0 if latency_ms <= budget_ms else OVER_BUDGET_EXPONENT
    return float(miou * (latency_ms / budget_ms) ** exponent)


def calibration_batches(crops: Crops, batch: int, device: torch.device) -> list[Tensor]:
    """The same few N,3,crop,crop batches for every candidate."""
    stream = training_batches(crops, batch, 0, workers=0)
    return [images.to(device, memory_format=torch.channels_last) for images, _ in stream]


def calibrated_subnet(
    supernet: Supernet, genotype: Genotype, batches: Sequence[Tensor], input_size: tuple[int, int]
) -> Network:
    """The subnet as a network with BN statistics of its own."""
    network = extract(supernet, genotype)
    calibrate_batch_norm(network, batches, input_size)
    return network


def score(
    supernet: Supernet,
    genotype: Genotype,
    batches: Sequence[Tensor],
    validation: Validation,
    input_size: tuple[int, int],
    device: torch.device,
) -> float:
    """mIoU (0..1) of the subnet on the validation split."""
    network = calibrated_subnet(supernet, genotype, batches, input_size)
    return mean_iou(evaluate(network, validation, device))
