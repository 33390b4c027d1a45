"""The score of a candidate: the mIoU of its int8 file as LiteRT runs it, and the reward computed from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from compress.data.batches import training_batches
from compress.data.resizing import at_scale
from compress.data.validation import Validation
from compress.evaluation.metrics import mean_iou
from compress.evaluation.tflite_file import run_tflite
from compress.stages.run import Run
from compress.tflite.int8_file import int8_file
from compress.tflite.int8_grids import ValueRanges
from compress.tflite.ranges import observe_extremes
from search_spaces.genotype import Genotype
from search_spaces.network import Network

CALIBRATION_BATCHES = 6
OVER_BUDGET_EXPONENT = -0.07  # MnasNet's w (Tan et al. 2019, section 4.1)
# trained networks gain mIoU with latency to the power of 0.127 and scores to 0.004: the difference, which
# benchmarks/rank_fidelity.md measures
WITHIN_BUDGET_EXPONENT = 0.12
CACHE_BYTES = 2**30  # of validation images kept at the resolutions of the space


def reward(miou: float, latency_ms: float, budget_ms: float) -> float:
    """Computes `miou * (latency_ms / budget_ms) ** w` (MnasNet, Tan et al. 2019, equation 2).

    Over the budget w is negative. Within the budget w is positive: networks that are trained to the end gain with the
    latency they use, while shared weights and short schedules give small and large networks the same scores.

    Args:
        miou: The mIoU of a network (0..1).
        latency_ms: Its latency, ms.
        budget_ms: The latency budget, ms.

    Returns:
        The reward; it equals the mIoU where the latency equals the budget.
    """
    exponent = WITHIN_BUDGET_EXPONENT if latency_ms <= budget_ms else OVER_BUDGET_EXPONENT
    return float(miou * (latency_ms / budget_ms) ** exponent)


def calibration_batches(run: Run) -> list[Tensor]:
    """Draws the batches on which candidates are calibrated.

    Args:
        run: The run.

    Returns:
        CALIBRATION_BATCHES batches of N,bands,crop,crop training images in 0..1, the same for every candidate.
    """
    schedule = replace(run.config.schedule("train"), steps=CALIBRATION_BATCHES)
    stream = training_batches(run.crops(schedule, seed=9), schedule.batch, 0, workers=0)
    return [images.to(run.device, memory_format=torch.channels_last) for images, _ in stream]


@dataclass
class Scorer:
    """Scores networks on one validation split.

    Attributes:
        validation: The validation split.
        batches: N,bands,crop,crop images on which networks are calibrated.
        input_size: Height and width of the input, pixels.
        threads: How many threads run LiteRT, each on an image of its own.
    """

    validation: Validation
    batches: Sequence[Tensor]
    input_size: tuple[int, int]
    threads: int
    _cached: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)

    def score(self, network: Network, shared: bool = False) -> float:
        """Scores a network as an int8 file.

        Args:
            network: The network.
            shared: Whether its weights are those of a supernet. Its BN statistics are then computed anew first.

        Returns:
            The mIoU (0..1).
        """
        ranges = self.recalibrate(network) if shared else observe_extremes(network.eval(), self._seen(network))
        return self.int8_miou(int8_file(network, ranges), network)

    def recalibrate(self, network: Network) -> ValueRanges:
        """Computes a network's BN statistics anew on the calibration batches.

        Args:
            network: The network. It is changed.

        Returns:
            The ranges of its values on these batches.
        """
        return recalibrate_network(network, self._seen(network))

    def _seen(self, network: Network) -> Iterator[Tensor]:
        return (at_scale(images, network.genotype.resolution, self.input_size) for images in self.batches)

    def int8_miou(self, model: bytes, network: Network) -> float:
        """Evaluates an int8 file.

        Args:
            model: The content of the file.
            network: The network it was written from.

        Returns:
            The mIoU (0..1) over the whole validation split.
        """
        pixels, classes = self._pixels(network.genotype), network.genotype.classes
        counts = [counted for counted, _ in run_tflite(model, classes, self.validation, pixels, self.threads)]
        return mean_iou(torch.stack(counts).sum(0))

    def _pixels(self, genotype: Genotype) -> Iterator[np.ndarray]:
        """`Validation.pixels` as a network takes them, kept where they fit."""
        resolution = genotype.resolution
        if resolution in self._cached:
            yield from self._cached[resolution]
            return
        kept = []
        room = CACHE_BYTES - sum(images.nbytes for images in self._cached.values())
        fits = len(self.validation) * resolution[0] * resolution[1] * genotype.bands <= room
        for pixels in self.validation.pixels(resolution):
            if fits:
                kept.append(pixels)
            yield pixels
        if fits:
            self._cached[resolution] = np.stack(kept)


@torch.no_grad()
def recalibrate_network(network: Network, batches: Iterator[Tensor]) -> ValueRanges:
    """Sets the BN statistics of a network to their average over some batches. Statistics of a supernet fit no subnet.

    Args:
        network: The network. It is left in eval mode.
        batches: N,bands,h,w images in 0..1.

    Returns:
        The ranges of the network's values on these batches.
    """
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative
    ranges = observe_extremes(network.train(), batches)
    for norm in norms:
        norm.momentum = 0.1
    network.eval()
    return ranges
