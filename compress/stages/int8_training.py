"""Quantization-aware training: a network is trained on with int8 simulated."""

from dataclasses import replace
from pathlib import Path

from compress.distillation.teachers import own_teacher
from compress.distillation.teaching import Teaching
from compress.stages.fitting import fit_network
from compress.stages.run import Run
from compress.tflite.int8_grids import ValueRanges
from compress.tflite.simulated_int8 import fake_quantize
from search_spaces.network import Network

QAT_LR = 5e-4


def train_in_int8(
    run: Run, network: Network, ranges: ValueRanges, steps: int, folder: Path
) -> tuple[Network, ValueRanges]:
    """Trains weights and ranges with int8 simulated. The teacher is the float network itself.

    Args:
        run: The run, whose data and schedule are used.
        network: The float network. It is left as it is.
        ranges: The range of each value to begin with.
        steps: Training steps.
        folder: The folder of the checkpoint.

    Returns:
        The float network with the learned weights, and the learned ranges.
    """
    simulated = fake_quantize(network, ranges)
    schedule = replace(run.config.schedule("recover"), steps=steps, lr=QAT_LR)
    teaching = Teaching(own_teacher(network, run.config.input_size, run.device), {"kl": 1.0}, "itself in float")
    fit_network(run, simulated, schedule, folder, "quantize: training in int8", seed=50, teaching=teaching)
    return simulated.plain().to(run.device), simulated.ranges()
