"""One peer, trained by the recipe of `compress.train` and turned into int8 files by the project's converter.

WORK/seed-N/VARIANT has network.pt and trained.json after the training, then float and int8 files for each size of the
class map and shipped.json. A killed training goes on, and several processes share what is left.
"""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from peers import PEERS, Peer, build
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from compress.data.calibration import calibration_images
from compress.evaluation.metrics import mean_iou
from compress.evaluation.tflite_file import run_tflite
from compress.files.atomic import try_lock, write_atomically
from compress.files.records import read_json, write_json
from compress.files.tensors import load_tensors, save_tensors
from compress.latency.timing import load
from compress.stages.fitting import CHECKPOINT, network_losses
from compress.stages.run import Run
from compress.tflite.conversion import convert
from compress.tflite.quantization import quantize_tflite
from compress.tflite.reader import file_ops
from compress.training.loop import fit
from compress.training.trainee import Trainee
from nas.finals import HEAD_LR
from search_spaces.backbone import scaled_side
from search_spaces.ops import out_size

HEAD_STRIDES = (4, 1)  # image pixels a side for each of the class map; SlimLab chooses among 4, 2 and 1
TRAINED, SHIPPED = "trained.json", "shipped.json"
REMEDY = "delete it and run the benchmark again"


class Deployed(nn.Module):
    """What an app runs, as SlimLab exports it: N,H,W,3 pixels in 0..1 to N,h,w class indices. Logits coarser than
    the class map are enlarged before the argmax; an image is filled up with black to the network's divisor."""

    def __init__(self, network: nn.Module, divisor: int, stride: int) -> None:
        super().__init__()
        self.network, self.divisor, self.stride = network, divisor, stride

    def forward(self, pixels: Tensor) -> Tensor:
        images = pixels.permute(0, 3, 1, 2)
        height, width = images.shape[2:]
        down, right = -height % self.divisor, -width % self.divisor
        if down or right:
            images = F.pad(images, (0, right, 0, down))
        logits = self.network(images)
        size = [out_size(side, self.stride) for side in images.shape[2:]]
        if logits.shape[2] < size[0]:
            logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        class_map = logits.permute(0, 2, 3, 1).argmax(-1)
        if down or right:
            class_map = class_map[:, : out_size(height, self.stride), : out_size(width, self.stride)]
        return class_map


@dataclass(frozen=True)
class Variant:
    """A peer that sees images at a share of the input size, in a run folder of one seed."""

    run: Run
    name: str
    scale: float
    steps: int

    @property
    def title(self) -> str:
        return self.name if self.scale == 1 else f"{self.name}-at-{self.scale:g}"

    @property
    def folder(self) -> Path:
        return self.run.path / self.title

    @property
    def peer(self) -> Peer:
        return PEERS[self.name]

    @cached_property
    def resolution(self) -> tuple[int, int]:
        height, width = self.run.config.input_size
        return scaled_side(height, self.scale), scaled_side(width, self.scale)

    def network(self) -> nn.Module:
        return build(self.name, len(self.run.data.classes))

    def figures(self, step: str) -> dict[str, Any] | None:
        """What a step has found, or None before it."""
        path = self.folder / step
        found: dict[str, Any] | None = read_json(path, REMEDY) if path.is_file() else None
        return found


def train(variant: Variant) -> None:
    """As the search trains finalists: loss, crops, batch, optimizer and schedule are the run's, but for the number of
    steps. A new head on a pretrained encoder learns faster than the encoder, as theirs do."""
    run, checkpoint = variant.run, variant.folder / CHECKPOINT
    head_lr = HEAD_LR if variant.peer.is_pretrained else 1.0
    schedule = replace(run.config.schedule("train"), steps=variant.steps, head_lr=head_lr)
    torch.manual_seed(run.config.seed)
    network = variant.network().to(run.device)
    losses = network_losses(run, network, variant.resolution)
    title = f"{run.path.name}/{variant.title}"

    def save(seconds: float) -> None:
        save_tensors(network.state_dict(), variant.folder / "network.pt")
        params = sum(parameter.numel() for parameter in network.parameters())
        write_json(variant.folder / TRAINED, {"params": params, "wall_s": seconds})

    crops = run.crops(schedule, seed=2)
    trainee = Trainee.of(network, schedule, is_of_encoder)
    fit(network, losses, crops, schedule, checkpoint, title, training_key=run.training_key, save=save, trainee=trainee)


def is_of_encoder(name: str) -> bool:
    """Whether a parameter belongs to the encoder of segmentation_models_pytorch."""
    return name.startswith("encoder.")


def ship(variant: Variant) -> None:
    """Files for every size of the class map, each run over the validation split; what fails is written down."""
    network = variant.network()
    network.load_state_dict(load_tensors(variant.folder / "network.pt"))
    network.eval()
    divisor = variant.peer.divisor
    padded = [out_size(side, divisor) * divisor for side in variant.resolution]
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        logits = network(torch.zeros(1, 3, *padded))
    own_stride = round(padded[0] / logits.shape[2])
    files = {}
    for stride in dict.fromkeys(min(stride, own_stride) for stride in HEAD_STRIDES):
        try:
            files[stride] = made(variant, Deployed(network, divisor, stride), stride)
        except Exception as error:  # whatever the converter and the quantizer raise; the table says it
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            print(f"{variant.title}: {reason}", flush=True)
            files[stride] = {"failed": reason}
    write_json(variant.folder / SHIPPED, {"macs": counter.get_total_flops() // 2, "files": files})


def made(variant: Variant, deployed: nn.Module, stride: int) -> dict[str, Any]:
    """An int8 file with ranges by ai-edge-quantizer's own calibration, the moving average that SlimLab's default is,
    from the same images."""
    run, log = variant.run, variant.folder / "convert.log"
    file = variant.folder / f"float-{stride}.tflite"
    convert(deployed, torch.rand(1, *variant.resolution, 3), file, log)
    images = calibration_images(run.data, variant.resolution, run.device)
    int8 = quantize_tflite(file, [image.permute(0, 2, 3, 1).cpu().numpy() for image in images], log)
    write_atomically(int8_file(variant, stride), int8)
    floats = Counter(op.name for op in file_ops(int8) if "FLOAT32" in (*op.in_types, *op.out_types))
    return {
        "miou": miou_of(variant, int8),
        "float_miou": miou_of(variant, file.read_bytes()),
        "size_bytes": len(int8),
        "float_ops": dict(floats),
        "parts": xnnpack_parts(int8),
    }


def xnnpack_parts(model: bytes) -> int:
    """Into how many an op that XNNPACK does not take cuts a file; one that takes all but the argmax stays whole."""
    return [op["op_name"] for op in load(model, 1)._get_ops_details()].count("DELEGATE")


def int8_file(variant: Variant, stride: int) -> Path:
    return variant.folder / f"int8-{stride}.tflite"


def miou_of(variant: Variant, model: bytes) -> float:
    """Over the validation split, as LiteRT runs the file."""
    validation, classes = variant.run.validation, len(variant.run.data.classes)
    pixels = validation.pixels(variant.resolution)
    counts = torch.zeros(classes, classes, dtype=torch.long)
    for counted, _ in run_tflite(model, classes, validation, pixels):
        counts += counted
    return mean_iou(counts)


def do_missing(variants: list[Variant]) -> None:
    """Trains all, then ships all, but for what is done or another process is at. The converter starts threads, and
    loading crops forks: so the two are apart."""
    for step, work, before in ((TRAINED, train, None), (SHIPPED, ship, TRAINED)):
        for variant in variants:
            with try_lock(variant.folder / "lock") as free:
                ready = before is None or variant.figures(before) is not None
                if free and ready and variant.figures(step) is None:
                    print(f"{variant.run.path.name}/{variant.title}", flush=True)
                    work(variant)
