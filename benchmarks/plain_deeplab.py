"""python benchmarks/plain_deeplab.py [--multiplier M] [--steps N]: what a network nobody searched reaches on the data.

DeepLabV3+ MobileNetV2 (`benchmarks/baseline.py`), trained from ImageNet weights by the loss, crops and schedule of
`compress.train`, then quantized, run and measured as SlimLab's models are.
"""

import argparse
import tempfile
from pathlib import Path

from baseline import machine, mobilenetv2, ship, started, trained

from compress.stages.config import RunConfig
from compress.stages.run import Run
from compress.training.device import share_cores
from search_spaces import costs


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--multiplier", type=float, default=0.5, help="of every width")
    flags.add_argument("--steps", type=int, default=1200, help="the train, recover and distill steps of --preset quick")
    flags.add_argument("--seed", type=int, default=0)
    given = flags.parse_args()
    share_cores()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        run = Run(path, RunConfig(budget_ms=30, seed=given.seed))
        genotype = mobilenetv2(given.multiplier, len(run.data.classes), run.config.input_size)
        network = trained(run, started(run, genotype), given.steps, path)
        miou = run.miou(network)
        shipped = ship(run, network, path)
    print(machine())
    print(
        f"width multiplier {given.multiplier:g}, {costs.params(network.graph) / 1e6:.2f} M parameters, "
        f"{costs.macs(network.graph) / 1e9:.2f} GMACs, {given.steps} steps: mIoU {miou:.4f} in torch, "
        f"{shipped.miou:.4f} as int8 by LiteRT, {shipped.latency_ms:.2f} ms"
    )


if __name__ == "__main__":
    main()
