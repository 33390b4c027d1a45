"""python -m compress.verify RUN: runs the exported files themselves on the validation split and measures them.

The int8 file by the LiteRT interpreter: mIoU, median latency, number of int8 ops, agreement with the torch network it
was made from (share of pixels of the same class), in float and with int8 simulated. The ONNX file by ONNX Runtime:
agreement.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor
from tqdm import tqdm

from compress.batches import Validation
from compress.cli import parser, run_command
from compress.evaluate import run_tflite
from compress.fake_quant import fake_quantize
from compress.metrics import mean_iou
from compress.run import load_network, write_json
from compress.stage import Run, open_run, require
from compress.tflite import check_all_int8, file_ops
from search_spaces.network import Network

EVALUATION_THREADS = 2
ONNX_IMAGES = 4
SIMULATED_IMAGES = 16


def evaluate_tflite(
    model: bytes, network: Network, validation: Validation, bar: "tqdm[Any]"
) -> tuple[Tensor, list[np.ndarray]]:
    """Confusion counts of a file over the split, and its class maps h,w in order."""
    classes = network.genotype.classes
    counts, maps = torch.zeros(classes, classes, dtype=torch.long), []
    pixels = validation.pixels(network.genotype.resolution)
    for counted, class_map in run_tflite(model, classes, validation, pixels, EVALUATION_THREADS):
        counts += counted
        maps.append(class_map)
        bar.update()
    return counts, maps


@torch.inference_mode()
def agreement(maps: list[np.ndarray], network: Network, validation: Validation) -> float:
    """Share of pixels to which the torch network gives the class that the maps give."""
    same = [
        float((network(images).argmax(1)[0].numpy() == class_map).mean())
        for (images, _), class_map in zip(validation.batches(network.genotype.resolution), maps, strict=False)
    ]
    return float(np.mean(same))


def run_onnx(path: Path, network: Network, validation: Validation, images: int) -> list[np.ndarray]:
    """Class maps of the first images, as ONNX Runtime computes them."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    maps = []
    for pixels, _ in validation.batches(network.genotype.resolution):
        (class_map,) = session.run(None, {"pixels": np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())})
        maps.append(np.asarray(class_map)[0])
        if len(maps) == images:
            break
    return maps


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


def main() -> None:
    arguments = parser(__doc__, "compress.verify")
    arguments.add_argument("run", type=Path, metavar="RUN", help="a run folder, such as runs/landcover-30ms")
    run = open_run(arguments.parse_args().run)
    require(run, "export")
    found = verify(run)
    write_json(run.path / "export" / "verify.json", found)
    for name, value in found.items():
        print(f"{name:26} {value:.4f}" if isinstance(value, float) else f"{name:26} {value}")


if __name__ == "__main__":
    run_command(main)
