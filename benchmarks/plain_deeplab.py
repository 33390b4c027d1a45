"""python benchmarks/plain_deeplab.py [--steps N]: what a network nobody searched reaches on the same data.

A plain DeepLabV3+ with a MobileNetV2-like backbone of about 1.0 M parameters at 512x512, trained from scratch by the
loss, crops and schedule of `compress.train`, then quantized, run and measured as SlimLab's models are.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from tqdm import tqdm

from compress.convert import quantize_tflite, write_float_tflite
from compress.evaluate import evaluate
from compress.fit import Schedule
from compress.metrics import mean_iou
from compress.quantize import calibration_images
from compress.settings import Settings, share_cores
from compress.stage import Run
from compress.target import HostTarget
from compress.train import fit_network
from compress.verify import evaluate_tflite
from search_spaces import costs
from search_spaces.genotype import Genotype, Stage
from search_spaces.network import Network


def stage(width: int, depth: int, width_in: int, expansion: int = 6) -> Stage:
    return Stage(width, 3, (width_in * expansion, *(width * expansion,) * (depth - 1)))


PLAIN = Genotype(
    space="deeplabv3plus",
    classes=8,
    resolution=(512, 512),
    stem=16,
    stages=(stage(16, 1, 16, 2), stage(24, 2, 16), stage(32, 3, 24), stage(80, 4, 32), stage(144, 2, 80)),
    output_stride=16,
    aspp_rates=(6, 12, 18),
    image_pooling=True,
    aspp_widths=(168,) * 5,
    aspp_out=168,
    low_level=24,
    decoder=(96,),
    head_stride=1,
)


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--steps", type=int, default=1200, help="the train, recover and distill steps of --preset quick")
    flags.add_argument("--seed", type=int, default=0)
    given = flags.parse_args()
    share_cores()
    torch.manual_seed(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        run = Run(path, Settings(budget_ms=30, seed=given.seed))
        network = Network(PLAIN)
        fit_network(run, network, Schedule(given.steps, 16, 128), path, "plain", seed=2)
        miou = mean_iou(evaluate(network, run.validation, run.device))
        write_float_tflite(network.cpu().eval(), path / "float.tflite", path / "log")
        samples = [image.permute(0, 2, 3, 1).cpu().numpy() for image in calibration_images(run, PLAIN.resolution)]
        int8 = quantize_tflite(path / "float.tflite", samples, path / "log")
        with tqdm(total=len(run.validation), desc="int8") as bar:
            counts, _ = evaluate_tflite(int8, network, run.validation, bar)
        latency = HostTarget().measure([int8], seconds=3.0)[0]
    print(
        f"{costs.params(network.graph) / 1e6:.2f} M parameters, {costs.macs(network.graph) / 1e9:.2f} GMACs, "
        f"{given.steps} steps: mIoU {miou:.4f} in torch, {mean_iou(counts):.4f} as int8 by LiteRT, {latency.ms:.2f} ms"
    )


if __name__ == "__main__":
    main()
