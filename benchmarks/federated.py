"""python benchmarks/federated.py --work WORK [--data landcover|camvid:DIR ...]: what federated training gains.

Each data set is cut into clients: land cover by continent, CamVid by sequence (the longest one is cut in two). Each
client has its own validation images. These networks start from the same random weights and take the same steps with
the same learning rates:

alone    each client trains for itself
fedavg, fedbn
         clients train in rounds, and their weights are averaged
pooled   one training on the images of all clients

The table gives the mIoU over the validation images of all clients, the range over clients on their own, and how far
federated training goes from `alone` to `pooled`. WORK keeps what is done; the same command goes on after a kill.
"""

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean
from typing import Any

from PIL import Image

from compress.data.dataset import DataSet, open_data, read_pair
from compress.data.pairs import Pair

Clients = dict[str, dict[str, list[Pair]]]
"""The pairs of each client, by its name and the split."""

CAMVID_SIZE, LANDCOVER_SIZE = (96, 128), (64, 64)
OWN_VALIDATION = 5  # the last of so many frames of a sequence validate
BATCH, CROP, LR, WEIGHT_DECAY = 8, 64, 4e-3, 0.01
METHODS = ("fedavg", "fedbn")


def continent(tile: str) -> str:
    """The continent of a land-cover tile, whose name holds its row and column at 0.05 degrees."""
    latitude, longitude = 90 - (int(tile[1:5]) + 128) * 0.05, -180 + (int(tile[6:10]) + 128) * 0.05
    if longitude < -30:
        return "north-america" if latitude > 12 else "south-america"
    if longitude < 55 and latitude <= 36:
        return "africa"
    if longitude < 60:
        return "europe"
    return "asia" if latitude > -8 else "oceania"


def landcover_clients(data: DataSet) -> Clients:
    """The pairs of each client and split."""
    clients: Clients = {}
    for split, pairs in (("train", data.train), ("val", data.val)):
        for pair in pairs:
            found = clients.setdefault(continent(pair.image.stem), {"train": [], "val": []})
            found[split].append(pair)
    return {name: one for name, one in clients.items() if one["train"] and one["val"]}


def camvid_clients(data: DataSet) -> Clients:
    """The pairs of each client and split."""
    sequences: dict[str, list[Pair]] = {}
    for pair in sorted(data.train, key=lambda pair: pair.image.stem):
        sequences.setdefault(pair.image.stem.partition("_")[0], []).append(pair)
    longest = max(sequences, key=lambda name: len(sequences[name]))
    pairs = sequences.pop(longest)
    sequences |= {f"{longest}a": pairs[: len(pairs) // 2], f"{longest}b": pairs[len(pairs) // 2 :]}
    cut = {name: len(one) * (OWN_VALIDATION - 1) // OWN_VALIDATION for name, one in sequences.items()}
    return {name: {"train": one[: cut[name]], "val": one[cut[name] :]} for name, one in sequences.items()}


def lay_out(clients: Clients, data: DataSet, root: Path) -> dict[str, str]:
    """Makes a folder data set for each client and one for all; their `--data` values by name."""
    shutil.rmtree(root, ignore_errors=True)
    for name, splits in clients.items():
        for folder in (name, "pooled"):
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / "classes.txt").write_text("".join(f"{one}\n" for one in data.classes))
            for split, pairs in splits.items():
                for kind in ("images", "masks"):
                    (root / folder / split / kind).mkdir(parents=True, exist_ok=True)
                for pair in pairs:
                    (root / folder / split / "images" / pair.image.name).symlink_to(pair.image.resolve())
                    mask = Image.fromarray(read_pair(pair, data)[1])
                    mask.save(root / folder / split / "masks" / f"{pair.image.stem}.png")
    return {name: f"folder:{root / name}" for name in (*clients, "pooled")}


class Comparison:
    """The trainings on one data set.

    Attributes:
        specs: The `--data` value of each client, and of `pooled`.
        folder: Where they keep their files.
    """

    def __init__(self, specs: dict[str, str], folder: Path, size: tuple[int, int], rounds: int, steps: int) -> None:
        from compress.federated.task import Task, spelled_labels
        from search_spaces.known_networks import known_network

        self.specs, self.folder, self.size = specs, folder, size
        self.clients = [name for name in specs if name != "pooled"]
        self.data = {name: open_data(spec) for name, spec in specs.items()}
        pooled = self.data["pooled"]
        genotype = known_network("mobilenet_v2", 0.35, len(pooled.classes), size)
        self.task = Task(
            genotype=genotype.to_dict(), classes=pooled.classes, label_map=spelled_labels(pooled),
            bands=pooled.pixels.to_dict(), input_size=size, loss="ce", class_weights="root", augment="photo",
            sampling="uniform", rounds=rounds, local_steps=steps, batch=BATCH, crop=CROP, lr=LR,
            weight_decay=WEIGHT_DECAY, lr_schedule="one-cycle", seed=0,
        )  # fmt: skip

    def start(self) -> Any:
        """The network that all trainings start from."""
        import torch

        from search_spaces.network import Network

        torch.manual_seed(0)
        return Network(self.task.network_genotype)

    def miou(self, network: Any, name: str) -> float:
        """The mIoU on the validation images of a client, or of `pooled`."""
        from compress.data.validation import read_validation
        from compress.evaluation.metrics import mean_iou
        from compress.evaluation.network import evaluate_network
        from compress.training.device import training_device

        device = training_device()
        validation = read_validation(self.data[name], self.size)
        return mean_iou(evaluate_network(network.to(device), validation, device))

    def single(self, name: str) -> dict[str, Any]:
        """Trains on the images of one client, or of all."""
        from dataclasses import replace

        from compress.data.crops import Crops
        from compress.federated.local_training import LocalRound, round_seed, train_locally
        from compress.training.device import training_device

        steps = self.task.rounds * self.task.local_steps
        task, network = replace(self.task, rounds=1, local_steps=steps), self.start()
        seed = round_seed(task, name, 1)
        crops = Crops(self.data[name], self.size, CROP, steps * BATCH, seed, task.augment, task.sampling)
        train_locally(network, LocalRound(crops, task, 1, self.folder / name, training_device()))
        own = self.clients if name == "pooled" else [name]
        return {"miou": self.miou(network, "pooled"), "own": {client: self.miou(network, client) for client in own}}

    def federated(self, strategy: str) -> dict[str, Any]:
        """Trains in rounds."""
        from dataclasses import replace

        from compress.federated.rounds import Rounds
        from compress.federated.simulation import FolderGrid
        from compress.federated.strategies import FEDBN, make_strategy
        from compress.federated.updates import apply_weights, packed, shared_names
        from compress.stages.federate import client_mious, mean_batch_norm

        task, network = replace(self.task, local_batch_norm=strategy == FEDBN), self.start()
        fleet = FolderGrid({name: self.specs[name] for name in self.clients}, self.folder / strategy)
        weights = {name: network.state_dict()[name] for name in shared_names(network, task.local_batch_norm)}
        made = make_strategy(strategy, None, len(self.clients), 0.0)
        path = self.folder / strategy / "rounds.pt"
        start = packed(network.state_dict(), shared_names(network, local_batch_norm=False))
        rounds = Rounds(path, strategy, task, made, fleet, start, None, len(self.clients), weights)
        rounds.load()
        rounds.run(lambda record, averaged: print(strategy, record["round"], flush=True))
        rounds.gather()
        own = client_mious(rounds)
        apply_weights(network, rounds.weights)
        if task.local_batch_norm:
            apply_weights(network, mean_batch_norm(rounds, network))
        return {
            "miou": self.miou(network, "pooled"),
            "own": own,
            "bytes": rounds.history[0]["bytes_up"] // len(self.clients),
        }

    def trainings(self) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
        """Every training by name."""
        for name in (*self.clients, "pooled"):
            yield name, lambda name=name: self.single(name)  # type: ignore[misc]
        for strategy in METHODS:
            yield strategy, lambda strategy=strategy: self.federated(strategy)  # type: ignore[misc]


def table(title: str, found: dict[str, Any], clients: list[str], images: dict[str, int]) -> str:
    """The rows of one data set."""
    alone = {name: found[name] for name in clients}
    base, pooled = mean(one["miou"] for one in alone.values()), found["pooled"]["miou"]
    rows = [
        f"## {title}: {', '.join(f'{name} {images[name]}' for name in clients)} training images",
        "",
        "| | mIoU, all validation images | of the way | mIoU on own images: mean (lowest to highest) | KiB a round |",
        "|---|---|---|---|---|",
    ]
    own = {"alone, mean": [alone[name]["own"][name] for name in clients]}
    own |= {name: [found[name]["own"][client] for client in clients] for name in (*METHODS, "pooled")}
    for name, values in own.items():
        miou = base if name == "alone, mean" else found[name]["miou"]
        way = f"{(miou - base) / (pooled - base):.2f}" if pooled != base else ""
        kib = f"{found[name]['bytes'] / 1024:.0f}" if name in METHODS else ""
        rows.append(
            f"| {name} | {miou:.3f} | {way} | {mean(values):.3f} ({min(values):.3f} to {max(values):.3f}) | {kib} |"
        )
    return "\n".join(rows)


def main() -> None:
    """Runs the trainings that are missing, and prints the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--data", nargs="+", default=["landcover"])
    arguments.add_argument("--rounds", type=int, default=12)
    arguments.add_argument("--steps", type=int, default=30, help="steps of a client in a round")
    arguments.add_argument("--device", choices=("cpu", "auto"), default="auto", help="auto: CUDA where there is one")
    given = arguments.parse_args()
    if given.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from compress.data import batches

    batches.WORKERS = 0  # a process for each round of each client takes longer than the crops
    tables = []
    for spec in given.data:
        layout = spec.partition(":")[0]
        data = open_data(spec)
        clients = landcover_clients(data) if layout == "landcover" else camvid_clients(data)
        folder = given.work / f"{layout}-{given.rounds}x{given.steps}"
        specs = lay_out(clients, data, folder / "data")
        size = LANDCOVER_SIZE if layout == "landcover" else CAMVID_SIZE
        comparison = Comparison(specs, folder, size, given.rounds, given.steps)
        done = folder / "done.json"
        found: dict[str, Any] = json.loads(done.read_text()) if done.exists() else {}
        for name, train in comparison.trainings():
            if name not in found:
                begun = time.monotonic()
                found[name] = {**train(), "seconds": time.monotonic() - begun}
                done.write_text(json.dumps(found, indent=1))
                print(layout, name, found[name], flush=True)
        images = {name: len(comparison.data[name].train) for name in comparison.clients}
        tables.append(table(layout, found, comparison.clients, images))
    print("\n\n".join(tables))


if __name__ == "__main__":
    main()
