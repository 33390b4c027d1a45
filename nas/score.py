"""What a candidate is worth: the mIoU of its int8 file as LiteRT runs it, and MnasNet's reward."""

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
from compress.tflite.grids import ValueRanges
from compress.tflite.int8_file import int8_file
from compress.tflite.ranges import observe_extremes
from search_spaces.network import Network

CALIBRATION_BATCHES = 6
OVER_BUDGET_EXPONENT = -0.07  # MnasNet's w (Tan et al. 2019, section 4.1)
WITHIN_BUDGET_EXPONENT = 0.12  # how trained networks gain with latency, less how scores do: benchmarks/rank_fidelity.md
CACHE_BYTES = 2**30  # of validation images kept at the resolutions of the space


def reward(miou: float, latency_ms: float, budget_ms: float) -> float:
    """`miou * (latency_ms / budget_ms) ** w` (MnasNet, Tan et al. 2019, equation 2). Over the budget w < 0. Within it
    w > 0: trained to the end, networks gain with the latency they use, but shared weights and short schedules score
    small and large ones alike."""
    exponent = WITHIN_BUDGET_EXPONENT if latency_ms <= budget_ms else OVER_BUDGET_EXPONENT
    return float(miou * (latency_ms / budget_ms) ** exponent)


def calibration_batches(run: Run) -> list[Tensor]:
    """The same few N,3,crop,crop batches for every candidate."""
    schedule = replace(run.config.schedule("train"), steps=CALIBRATION_BATCHES)
    stream = training_batches(run.crops(schedule, seed=9), schedule.batch, 0, workers=0)
    return [images.to(run.device, memory_format=torch.channels_last) for images, _ in stream]


@dataclass
class Scorer:
    """Scores networks on one validation split. `threads` run LiteRT, each an image of its own."""

    validation: Validation
    batches: Sequence[Tensor]
    input_size: tuple[int, int]
    threads: int
    _cached: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)

    def score(self, network: Network, shared: bool = False) -> float:
        """mIoU (0..1) of a network as int8. The BN statistics of one with `shared` weights are set anew first."""
        ranges = self.recalibrate(network) if shared else observe_extremes(network.eval(), self._seen(network))
        return self.int8_miou(int8_file(network, ranges), network)

    def recalibrate(self, network: Network) -> ValueRanges:
        """Sets a network's BN statistics to those of the calibration batches; the ranges of its values there."""
        return calibrate(network, self._seen(network))

    def _seen(self, network: Network) -> Iterator[Tensor]:
        return (at_scale(images, network.genotype.resolution, self.input_size) for images in self.batches)

    def int8_miou(self, model: bytes, network: Network) -> float:
        """mIoU (0..1) over the split of an int8 file."""
        pixels, classes = self._pixels(network.genotype.resolution), network.genotype.classes
        counts = [counted for counted, _ in run_tflite(model, classes, self.validation, pixels, self.threads)]
        return mean_iou(torch.stack(counts).sum(0))

    def _pixels(self, resolution: tuple[int, int]) -> Iterator[np.ndarray]:
        """`Validation.pixels`, kept where they fit."""
        if resolution in self._cached:
            yield from self._cached[resolution]
            return
        kept = []
        room = CACHE_BYTES - sum(images.nbytes for images in self._cached.values())
        fits = len(self.validation) * resolution[0] * resolution[1] * 3 <= room
        for pixels in self.validation.pixels(resolution):
            if fits:
                kept.append(pixels)
            yield pixels
        if fits:
            self._cached[resolution] = np.stack(kept)


@torch.no_grad()
def calibrate(network: Network, batches: Iterator[Tensor]) -> ValueRanges:
    """One pass over N,3,h,w batches: sets BN statistics to their cumulative average (shared ones fit no subnet) and
    returns the ranges of the values. The network is left in eval mode."""
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative
    ranges = observe_extremes(network.train(), batches)
    for norm in norms:
        norm.momentum = 0.1
    network.eval()
    return ranges
