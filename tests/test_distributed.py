"""Data-parallel training: two processes are one, and both end with the same weights."""

import os
from pathlib import Path

import pytest
import torch
from made_data import CLASSES
from studies import free_port
from torch import Tensor, nn
from torch.multiprocessing import spawn

from compress.data.crops import Crops
from compress.data.dataset import open_data
from compress.files.tensors import load_tensors, save_tensors
from compress.training import distributed
from compress.training.loop import fit
from compress.training.schedule import Schedule
from search_spaces.errors import InputError


def train(folder: Path, data: Path, schedule: Schedule) -> None:
    """A network without batch norm: the mean of two half batches' gradients is that of the whole."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = nn.Conv2d(3, CLASSES, 3, padding=1)
    crops = Crops(open_data(f"folder:{data}"), (96, 96), 64, 20, 0)

    def losses(images: Tensor, masks: Tensor, step: int):  # type: ignore[no-untyped-def]
        yield (network(images) - masks[:, None].clamp(max=2)).square().mean()

    fit(network, losses, crops, schedule, folder / "checkpoint.pt", "test")
    save_tensors(network.state_dict(), folder / f"{distributed.rank()}.pt")


def one_of_two(rank: int, port: int, folder: Path, data: Path, schedule: Schedule) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with distributed.process_group():
        train(folder, data, schedule)
        assert distributed.broadcast(rank == 0)


SCHEDULES = [
    pytest.param(Schedule(5, 4, 64), marks=pytest.mark.slow),
    Schedule(5, 4, 64, lr_schedule="poly", ema=0.9),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=["one-cycle", "poly"])
def test_two_processes_train_as_one(folder_data: Path, tmp_path: Path, schedule: Schedule) -> None:
    port = free_port()
    (tmp_path / "two").mkdir()
    spawn(one_of_two, (port, tmp_path / "two", folder_data, schedule), nprocs=2)
    (tmp_path / "one").mkdir()
    train(tmp_path / "one", folder_data, schedule)
    alone = load_tensors(tmp_path / "one" / "0.pt")
    ranks = [load_tensors(tmp_path / "two" / f"{rank}.pt") for rank in range(2)]
    for name, value in alone.items():
        assert torch.equal(ranks[0][name], ranks[1][name])
        torch.testing.assert_close(ranks[0][name], value, atol=1e-5, rtol=1e-4)


def test_a_batch_that_cannot_be_shared_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "_grouped", lambda: True)
    for processes in (3, 8):
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        with pytest.raises(InputError, match=f"{processes} processes cannot share batches of 8"):
            distributed.share(8)
