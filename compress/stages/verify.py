"""Runs the exported files themselves on the validation split and measures them.

The int8 file by the LiteRT interpreter: mIoU, median latency, number of int8 ops, agreement with the torch network it
was made from (share of pixels of the same class), in float and with int8 simulated. The ONNX file by ONNX Runtime:
agreement.
"""

from typing import Any

from tqdm import tqdm

from compress.evaluation.agreement import agreement, run_onnx
from compress.evaluation.evaluate import evaluate_tflite
from compress.evaluation.metrics import mean_iou
from compress.files.tensors import load_network
from compress.stages.run import Run
from compress.tflite.reader import check_all_int8, file_ops
from compress.tflite.simulated_int8 import fake_quantize

ONNX_IMAGES = 4
SIMULATED_IMAGES = 16


def verify(run: Run) -> dict[str, Any]:
    """Checks RUN/model.tflite and model.onnx and returns what was found; raises InputError when a file is broken."""
    quantized = run.metrics("quantize")
    network = load_network(run.path / "quantize" / "network.pt")
    model = (run.path / "model.tflite").read_bytes()
    floats = quantized["float_ops"]
    int8_ops = check_all_int8(model, floats.values())
    simulated = fake_quantize(network, quantized["ranges"], floats)
    latency = run.target.measure([model], seconds=2.0)[0]
    with tqdm(total=len(run.validation), desc="verify", unit="image", dynamic_ncols=True) as bar:
        counts, maps = evaluate_tflite(model, network, run.validation, bar)
    onnx_maps = run_onnx(run.path / "model.onnx", network, run.validation, ONNX_IMAGES)
    return {
        "miou": mean_iou(counts),
        "latency_ms": latency.ms,
        "raw_latency_ms": latency.raw_ms,
        "latency_p10_ms": latency.p10_ms,
        "latency_p90_ms": latency.p90_ms,
        "ops": len(file_ops(model)),
        "int8_ops": int8_ops,
        "float_ops": sorted(floats),
        "agreement_with_torch": agreement(maps, network, run.validation),
        "agreement_with_simulation": agreement(maps[:SIMULATED_IMAGES], simulated, run.validation),
        "onnx_agreement_with_torch": agreement(onnx_maps, run.network("distill"), run.validation),
        "size_bytes": len(model),
    }
