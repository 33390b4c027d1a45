"""Runs the exported files themselves on the validation split and measures them.

LiteRT runs the int8 file: mIoU, median latency, number of int8 ops. The class maps of every exported file are compared
with those of the network it was made from; `compress.evaluation.agreement` says how far they must agree.
"""

from itertools import islice
from typing import Any

import numpy as np

from compress.evaluation.agreement import agreement, check_agreements
from compress.evaluation.metrics import mean_iou
from compress.evaluation.onnx_file import run_onnx
from compress.evaluation.op_agreement import op_agreement
from compress.evaluation.tflite_file import class_maps, evaluate_tflite, read_runnable
from compress.files.tensors import load_network
from compress.stages.run import Run
from compress.stages.scene_figures import scene_figures
from compress.stages.shipped_figures import class_figures, shipped_figures
from compress.stages.variants import variant_figures
from compress.tflite.reader import check_all_int8, file_ops
from compress.tflite.simulated_int8 import fake_quantize
from search_spaces.errors import BudgetError, InputError

FLOAT_IMAGES = 4  # on which the float files are compared
SIMULATED_IMAGES = 16
COMPARED_IMAGES = 2  # op by op with simulated int8


def verify(run: Run) -> dict[str, Any]:
    """Checks RUN/model.tflite and the files beside it.

    Args:
        run: A run whose files are exported.

    Returns:
        What was found: mIoU (0..1), latency (ms), number of ops, agreements (0..1), mIoU of the
        variants, size (bytes); start, memory, size of each file and figures of each class
        (`compress.stages.shipped_figures`), and figures of whole scenes (`compress.stages.scene_figures`).

    Raises:
        InputError: A file cannot be run, has an op that should be int8 and is not, or does not agree with its network.
    """
    model = read_runnable(run.path / "model.tflite")
    network = load_network(run.path / "quantize" / "network.pt")
    float_ops = run.metrics("quantize")["float_ops"]
    try:
        int8_ops = check_all_int8(model, float_ops.values())
    except InputError as error:
        raise InputError(f"{run.path / 'model.tflite'}: {error}") from error
    latency = run.target.measure([model], seconds=2.0)[0]
    counts, maps = evaluate_tflite(model, network, run.validation, "verify")
    agreements = {
        "agreement_with_torch": agreement(maps, network, run.validation),
        **simulation_agreements(run, model, maps),
        **float_agreements(run),
        **variant_figures(run, maps),
    }
    check_agreements(agreements, run.path)
    return {
        "miou": mean_iou(counts),
        "latency_ms": latency.ms,
        "raw_latency_ms": latency.raw_ms,
        "latency_p10_ms": latency.p10_ms,
        "latency_p90_ms": latency.p90_ms,
        **latency.mark(),
        **npu_figures(run, model),
        **energy_figures(run, model),
        "ops": len(file_ops(model)),
        "int8_ops": int8_ops,
        "float_ops": sorted(float_ops),
        **agreements,
        "size_bytes": len(model),
        **shipped_figures(run, model, network),
        "classes": class_figures(run, counts),
        **scene_figures(run.data, run.config.input_size, model),
    }


def npu_figures(run: Run, model: bytes) -> dict[str, Any]:
    """What the compiler of the run's NPU says of a file.

    Args:
        run: The run.
        model: The bytes of the .tflite file.

    Returns:
        The peak of the SRAM in bytes, the number of ops that the NPU runs, and the version of the compiler; nothing
        where the target is no NPU.

    Raises:
        BudgetError: The file takes more SRAM than the run may.
    """
    if run.npu is None:
        return {}
    made, kib = run.npu.compile(model), run.config.max_sram_kib
    sram = made.price.sram_bytes or 0
    if kib is not None and sram > 1024 * kib:
        raise BudgetError(
            f"{run.path / 'model.tflite'} takes {sram / 1024:.0f} KiB of SRAM, over --max-sram-kib {kib:g}; "
            "search again with a smaller bound"
        )
    return {"sram_bytes": sram, "npu_ops": made.npu_ops, "vela": run.npu.facts()["vela"]}


def energy_figures(run: Run, model: bytes) -> dict[str, float]:
    """Measures the energy of a file.

    Args:
        run: The run.
        model: The bytes of the .tflite file.

    Returns:
        `energy_mj` of a run, idle subtracted, `energy_spread` of its repeats and `idle_w`; nothing where the run
        measures no energy.

    Raises:
        BudgetError: The file takes more energy than the run may.
    """
    if not run.config.measures_energy:
        return {}
    energy, budget_mj = run.target.measure_energy([model])[0], run.config.budget_mj
    if budget_mj is not None and energy.mj > budget_mj:
        raise BudgetError(
            f"{run.path / 'model.tflite'} takes {energy.mj:.3g} mJ, over --budget-mj {budget_mj:g}; "
            f"cut more with python -m compress.prune {run.path} --target-ms MS, then --resume"
        )
    return energy.facts()


def simulation_agreements(run: Run, model: bytes, maps: list[np.ndarray]) -> dict[str, float]:
    """How far the int8 file agrees with the network with int8 simulated.

    Args:
        run: The run.
        model: The bytes of the file.
        maps: The class maps h,w of the file.

    Returns:
        The share (0..1) of pixels of the same class, on the first SIMULATED_IMAGES images; and of equal values of the
        op with the fewest, on the first COMPARED_IMAGES.
    """
    quantized = run.metrics("quantize")
    network = load_network(run.path / "quantize" / "network.pt")
    simulated = fake_quantize(network, quantized["ranges"], quantized["float_ops"])
    size = network.genotype.resolution
    images = zip(run.validation.batches(size), run.validation.pixels(size), strict=True)
    return {
        "agreement_with_simulation": agreement(maps[:SIMULATED_IMAGES], simulated, run.validation),
        "op_agreement_with_simulation": op_agreement(
            model, simulated, [(image, pixels) for (image, _), pixels in islice(images, COMPARED_IMAGES)]
        ),
    }


def float_agreements(run: Run) -> dict[str, float]:
    """How far the float files agree with the distilled network that they were made from.

    Args:
        run: The run.

    Returns:
        The share (0..1) of pixels of the same class, on the first FLOAT_IMAGES images, for each file.
    """
    network = run.network("distill")
    resolution = network.genotype.resolution
    pixels = islice(run.validation.pixels(resolution), FLOAT_IMAGES)
    in_tflite = list(class_maps(read_runnable(run.path / "model.float.tflite"), pixels, 1))
    in_onnx = run_onnx(run.path / "model.onnx", resolution, run.validation, FLOAT_IMAGES)
    return {
        "float_agreement_with_torch": agreement(in_tflite, network, run.validation),
        "onnx_agreement_with_torch": agreement(in_onnx, network, run.validation),
    }
