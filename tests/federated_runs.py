"""What tests of federated training share: a run whose network is trained, without a latency table, and its clients."""

import shutil
import socket
from dataclasses import replace
from pathlib import Path

import torch
from stage_runs import SIDE, BySize

from compress.files.records import write_json
from compress.files.tensors import save_network
from compress.stages.config import RunConfig
from compress.stages.federate_options import client_specs
from compress.stages.records import record_network
from compress.stages.run import Run
from search_spaces import costs
from search_spaces.genotype import Genotype
from search_spaces.network import Network
from search_spaces.ops import Graph


class ByMacs:
    """Predicts a millisecond for each million MACs."""

    def predict(self, graph: Graph) -> float:
        return costs.macs(graph) / 1e6


def open_quietly(path: Path, config: RunConfig) -> Run:
    """Opens a run folder without a table; the target is `BySize`."""
    run = Run(path, config)
    run.__dict__.update(target=BySize(reference_ms=1.0), latency_model=ByMacs())
    return run


def trained_run(path: Path, data: Path, genotype: Genotype) -> Run:
    """A run folder whose search and training are done; the network has random weights."""
    config = RunConfig(budget_ms=50, data=f"folder:{data}", input_size=(SIDE, SIDE), preset="toy")
    write_json(path / "config.json", config.to_dict())
    torch.manual_seed(0)
    network = Network(replace(genotype, resolution=(SIDE, SIDE)))
    save_network(network, path / "search" / "winner.pt")
    write_json(path / "genotype.json", network.genotype.to_dict())
    run = open_quietly(path, config)
    record_network(run, "train", network, 0.0, 0.0)
    return run


def three_clients(data: Path, root: Path) -> dict[str, str]:
    """Three clients; the first two have the same images, the third one an image fewer."""
    for name in ("north", "south", "west"):
        shutil.copytree(data, root / name)
    for kind in ("images", "masks"):
        (root / "west" / "train" / kind / "5.png").unlink()
    return client_specs([str(root / name) for name in ("north", "south", "west")], "folder:x")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def own_address() -> str:
    """An address of this machine that others reach; none where it has no network."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            return str(probe.getsockname()[0])
    except OSError:
        return ""
