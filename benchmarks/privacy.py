"""python benchmarks/privacy.py --work WORK: what privacy costs, and what an attack finds. Writes benchmarks/privacy.md.

The shipped land-cover tiles are cut into pieces of 32 x 32 pixels. A piece is an image. Pieces of PUBLIC_TILES tiles
start the network: the ImageNet weights are prepared on them, and they give the statistics of batch norm. The other
pieces are drawn by chance into members, which are trained on, and as many outsiders, which are not. Both come from the
same tiles, so that only the training tells them apart. mIoU is over the pieces of the validation tiles.

The attack takes an image for a member when its loss is low (Yeom et al. 2018). Its AUC is the probability that a member
has a lower loss than an outsider: 0.5 for guessing, 1 for a network that gives all members away.

Each training has a file in WORK; the same command goes on after a kill. Use one core (OMP_NUM_THREADS=1).
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchmetrics.functional.classification import binary_auroc

from compress.data.crops import Crops, CropsOfImages
from compress.data.dataset import IGNORE, DataSet, open_data, read_pair
from compress.data.pairs import Pair
from compress.data.validation import read_validation
from compress.donors.loading import load_donor
from compress.donors.source import initial_weights_source
from compress.evaluation.metrics import mean_iou
from compress.evaluation.network import evaluate_network
from compress.files.tensors import load_network, save_network
from compress.stages.cli import run_command
from compress.stages.private_training import sample_losses
from compress.training.label_losses import cross_entropy, label_loss
from compress.training.loop import fit
from compress.training.privacy import Privacy
from compress.training.privacy_accounting import plan_noise
from compress.training.private import fit_privately
from compress.training.schedule import Schedule
from compress.training.trainee import Trainee
from nas.inheritance.start import prepare_donor, start_network
from search_spaces.known_networks import known_backbone, known_network
from search_spaces.network import Network

PIECE, PUBLIC_TILES, SIZE = 32, 7, (32, 32)
ORDINARY, FROZEN = "no privacy", "no privacy, batch norm frozen"
PRIVATE = {"epsilon 8": 8.0, "epsilon 3": 3.0}
ROWS = (ORDINARY, FROZEN, *PRIVATE)
TABLE = Path(__file__).with_suffix(".md")
CPU = torch.device("cpu")


def cut(data: DataSet, pairs: Sequence[Pair], folder: Path) -> tuple[Pair, ...]:
    """The pieces of tiles that have a label, as files."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "masks").mkdir(exist_ok=True)
    made = []
    for pair in pairs:
        image, mask = read_pair(pair, data)
        for top in range(0, mask.shape[0], PIECE):
            for left in range(0, mask.shape[1], PIECE):
                part = np.s_[top : top + PIECE, left : left + PIECE]
                if (mask[part] == IGNORE).all():
                    continue
                name = f"{pair.image.stem}-{top}-{left}.png"
                piece = replace(pair, image=folder / "images" / name, mask=folder / "masks" / name)
                made.append(piece)
                if not piece.mask.is_file():
                    Image.fromarray(image[part]).save(piece.image)
                    Image.fromarray(mask[part]).save(piece.mask)
    return tuple(made)


def pieces(work: Path, count: int, seed: int) -> tuple[DataSet, DataSet, tuple[Pair, ...]]:
    """The data set of members (and validation), that of outsiders, and the public pieces."""
    whole = open_data("landcover")
    public, private, val = whole.train[:PUBLIC_TILES], whole.train[PUBLIC_TILES:], whole.val
    cuts = [cut(whole, pairs, work / name) for name, pairs in (("public", public), ("private", private), ("val", val))]
    order = np.random.default_rng(seed).permutation(len(cuts[1]))
    members, outsiders = (tuple(cuts[1][i] for i in part) for part in (order[:count], order[count : 2 * count]))
    return replace(whole, train=members, val=cuts[2]), replace(whole, train=outsiders, val=cuts[2]), cuts[0]


def images_of(data: DataSet, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """All images N,3,32,32 in 0..1 and masks N,32,32 of pairs."""
    read = [read_pair(pair, data) for pair in pairs]
    images = torch.from_numpy(np.stack([image.transpose(2, 0, 1) for image, _ in read])).float() / 255
    return images, torch.from_numpy(np.stack([mask for _, mask in read])).long()


def start(data: DataSet, public: Sequence[Pair], file: Path) -> Network:
    """A small network whose backbone starts from ImageNet; only public pieces are read."""
    if not file.is_file():
        torch.manual_seed(0)
        backbone = known_backbone("efficientnet_lite0", 0.5, stages=6, max_depth=1, kernel=3, expansion=3)
        head = {"aspp_rates": (2,), "image_pooling": False, "aspp_widths": (48, 48), "aspp_out": 48}
        decoder = {"low_level": 16, "decoder": (48,), "head_stride": 2}
        classes = len(data.classes)
        network = Network(
            known_network(
                "efficientnet_lite0", 0.5, classes, SIZE, backbone=backbone, output_stride=8, **head, **decoder
            )
        )
        images, _ = images_of(data, public)
        source = initial_weights_source("efficientnet_lite0")
        assert source is not None
        donor = load_donor(source, classes, SIZE, output_stride=8)
        start_network(network, prepare_donor(donor, [image[None] for image in images[::4]]))
        network.train()
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None  # a mean over all batches
        with torch.no_grad():
            for at in range(0, len(images), 64):
                network(images[at : at + 64])
        save_network(network, file)
    return load_network(file)


class FrozenTrainee(Trainee):
    """A model whose batch norm keeps its statistics."""

    def start(self) -> None:
        """Sets all but batch norm to training mode."""
        self.model.train()
        for layer in self.model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()


def train(row: str, network: Network, members: DataSet, asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Trains a network in place. What a private training spent."""
    loss = label_loss({"ce": 1.0}, IGNORE, torch.ones(len(members.classes)))
    checkpoint = folder / "c.pt"
    if row in PRIVATE:
        schedule = Schedule(asked.private_steps, asked.private_batch, PIECE, asked.lr, 0.01, ema=asked.ema)
        crops = CropsOfImages(members, SIZE, PIECE, schedule.steps, asked.seed, "aerial")
        privacy = Privacy(PRIVATE[row], max_grad_norm=asked.max_grad_norm)
        plan = plan_noise(privacy, len(members.train), schedule.batch, schedule.steps)
        spent = fit_privately(network, sample_losses(network, SIZE, loss), crops, schedule, plan, checkpoint, row)
        return plan.record(spent)
    schedule = Schedule(asked.steps, asked.batch, PIECE, asked.lr, 0.01, ema=asked.ema)
    crops = Crops(members, SIZE, PIECE, schedule.steps * schedule.batch, asked.seed, "aerial")
    trainee = Trainee.of(network, schedule)
    if row == FROZEN:
        trainee = FrozenTrainee(network, trainee.optimizer, trainee.rate, trainee.average)
        trainee.start()

    def losses(images: Tensor, masks: Tensor, step: int) -> Any:
        yield loss(network(images), masks)

    fit(network, losses, crops, schedule, checkpoint, row, trainee=trainee)
    return {}


def image_losses(network: Network, images: Tensor, masks: Tensor) -> Tensor:
    """The loss of each image."""
    with torch.no_grad():
        logits = torch.cat([network(images[at : at + 64]) for at in range(0, len(images), 64)])
        return torch.stack([cross_entropy(logits[i : i + 1], masks[i : i + 1], IGNORE) for i in range(len(logits))])


def attack(network: Network, members: DataSet, outsiders: DataSet) -> dict[str, float]:
    """The AUC of the attack by loss with its standard error (Hanley and McNeil 1982), and the mean losses."""
    inside, outside = (image_losses(network.eval(), *images_of(one, one.train)) for one in (members, outsiders))
    truth = torch.cat([torch.ones(len(inside)), torch.zeros(len(outside))]).long()
    scores = -torch.cat([inside, outside])
    auc = float(binary_auroc(torch.argsort(torch.argsort(scores)) / len(scores), truth))  # ranks: all in 0..1
    n, m = len(inside), len(outside)
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    error = ((auc * (1 - auc) + (n - 1) * (one - auc**2) + (m - 1) * (two - auc**2)) / (n * m)) ** 0.5
    return {"auc": auc, "error": error, "loss_inside": float(inside.mean()), "loss_outside": float(outside.mean())}


def figures(row: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Trains and attacks; WORK/ROW/figures.json keeps what was found."""
    folder = asked.work / row.replace(" ", "-").replace(",", "")
    file = folder / "figures.json"
    if not file.is_file():
        begun = time.process_time()
        members, outsiders, public = pieces(asked.work / "pieces", asked.images, asked.seed)
        network = start(members, public, asked.work / "start.pt")
        folder.mkdir(parents=True, exist_ok=True)
        spent = train(row, network, members, asked, folder)
        miou = mean_iou(evaluate_network(network, read_validation(members, SIZE), CPU))
        found = {"miou": miou, **attack(network, members, outsiders), **spent, "cpu_s": time.process_time() - begun}
        file.write_text(json.dumps(found))
    return dict(json.loads(file.read_text()))


def table(rows: dict[str, dict[str, Any]], asked: argparse.Namespace) -> str:
    """The page."""
    flags = " ".join(f"--{name.replace('_', '-')} {getattr(asked, name)}" for name in FLAGS)
    lines = [
        "# What privacy costs, and what an attack finds",
        "",
        f"    OMP_NUM_THREADS=1 python benchmarks/privacy.py --work WORK {flags}",
        "",
        f"Land cover in pieces of {PIECE} x {PIECE} pixels, each an image: {asked.images} members, {asked.images} "
        "outsiders. All trainings start from the same network, whose backbone comes from ImageNet. Without privacy: "
        f"{asked.steps} steps of {asked.batch} images. With it: {asked.private_steps} steps of {asked.private_batch} "
        f"images expected, and gradients clipped to {asked.max_grad_norm:g}.",
        "",
        "| training | mIoU | noise multiplier | epsilon (delta) | loss of members, outsiders | AUC of the attack |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in rows.items():
        noise, spent = "", ""
        if "epsilon" in one:
            noise, spent = f"{one['noise_multiplier']:.2f}", f"{one['epsilon']:.2f} ({one['delta']:.1e})"
        losses, auc = f"{one['loss_inside']:.3f}, {one['loss_outside']:.3f}", f"{one['auc']:.3f} ± {one['error']:.3f}"
        lines.append(f"| {name} | {one['miou']:.3f} | {noise} | {spent} | {losses} | {auc} |")
    minutes = sum(one["cpu_s"] for one in rows.values()) / 60
    notes = (
        f"± is the standard error of Hanley and McNeil (1982). All rows took {minutes:.0f} minutes of one core, "
        "without the processes that make crops."
    )
    return "\n".join([*lines, "", notes]) + "\n"


FLAGS = ("images", "steps", "batch", "private_steps", "private_batch", "lr", "ema", "max_grad_norm", "seed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1800, help="members, and as many outsiders")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--private-steps", type=int, default=80)
    parser.add_argument("--private-batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--ema", type=float, default=0.95)
    parser.add_argument("--max-grad-norm", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--rows", nargs="+", default=list(ROWS), choices=ROWS, help="train these alone, in this process"
    )
    asked = parser.parse_args()
    rows = {row: figures(row, asked) for row in asked.rows}
    if set(rows) == set(ROWS):
        TABLE.write_text(table(rows, asked))
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    run_command(main)
