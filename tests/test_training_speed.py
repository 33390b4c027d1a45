"""What makes training fast changes no result, and is chosen before torch is there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from compress.data.crops import Crops
from compress.data.dataset import IGNORE, open_data
from compress.stages.openmp import choose_waiting
from compress.training import loop, memory
from compress.training.label_losses import cross_entropy
from compress.training.loop import fit
from compress.training.schedule import Schedule
from search_spaces.genotype import Genotype
from search_spaces.network import Network

ROOT = Path(__file__).parent.parent
# runs a command up to its import of torch, and prints what OpenMP will read then, also in a process that it starts
UNTIL_TORCH = """
import os, runpy, subprocess, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            own = "import os; print(os.environ.get('GOMP_SPINCOUNT'), os.environ.get('OMP_WAIT_POLICY'))"
            exec(own)
            sys.stdout.flush()
            os._exit(subprocess.run([sys.executable, "-c", own]).returncode)
sys.meta_path.insert(0, Watch())
_, module, *sys.argv[1:] = sys.argv
runpy.run_module(module, run_name="__main__")
"""
COMMANDS = [
    ("nas.search", "--budget-ms", "30"),
    ("nas.console", "search", "--budget-ms", "30"),
    ("compress.train", str(ROOT / "runs" / "camvid")),
]


def waiting(command: tuple[str, ...], folder: Path, **variables: str) -> list[str]:
    """GOMP_SPINCOUNT and OMP_WAIT_POLICY when a command imports torch, and in a process that it starts."""
    unset = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    rest = {n: v for n, v in os.environ.items() if n not in unset and not n.startswith("KMP_")}
    environment = {**rest, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(
        [sys.executable, "-c", UNTIL_TORCH, *command], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_command_chooses_how_threads_wait_before_it_imports_torch(command: tuple[str, ...], tmp_path: Path) -> None:
    assert waiting(command, tmp_path) == ["1000 None"] * 2


def test_the_users_own_choice_wins(tmp_path: Path) -> None:
    assert waiting(COMMANDS[0], tmp_path, OMP_WAIT_POLICY="ACTIVE") == ["None ACTIVE"] * 2
    assert waiting(COMMANDS[0], tmp_path, GOMP_SPINCOUNT="7") == ["7 None"] * 2
    blocktime = {"KMP_BLOCKTIME": "0"}
    choose_waiting(blocktime)
    assert blocktime == {"KMP_BLOCKTIME": "0"}


def trained(genotype: Genotype, data: Path, folder: Path) -> dict[str, Tensor]:
    torch.manual_seed(0)
    network = Network(genotype)

    def losses(images: Tensor, masks: Tensor, step: int) -> Iterator[Tensor]:
        yield cross_entropy(network(images), masks, IGNORE)

    folder.mkdir()
    crops = Crops(open_data(f"folder:{data}"), (96, 96), 64, 12, 0)
    fit(network, losses, crops, Schedule(3, 4, 64), folder / "c.pt", "test")
    return network.state_dict()


def test_kept_memory_changes_no_bit(
    tiny: Genotype, folder_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = trained(tiny, folder_data, tmp_path / "kept")

    @contextmanager
    def nothing() -> Iterator[None]:
        yield

    monkeypatch.setattr(loop, "kept_memory", nothing)
    for name, value in trained(tiny, folder_data, tmp_path / "plain").items():
        assert torch.equal(kept[name], value), name


def test_only_a_training_keeps_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """After it, glibc may return memory to the system again."""
    calls: list[tuple[int, ...]] = []

    class Library:
        mallopt = staticmethod(lambda *options: calls.append(options))
        malloc_trim = staticmethod(lambda *options: calls.append(options))

    monkeypatch.setattr(memory, "glibc", Library)
    with pytest.raises(KeyboardInterrupt), memory.kept_memory():
        assert calls == [(memory.M_MMAP_MAX, 0), (memory.M_TRIM_THRESHOLD, 2**31 - 1)]
        calls.clear()
        raise KeyboardInterrupt
    assert (memory.M_MMAP_MAX, memory.DEFAULT_MMAP_MAX) in calls
    assert calls[-1] == (0,)


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    memory.glibc.cache_clear()
    assert memory.glibc() is None
    with memory.kept_memory():
        pass
    memory.glibc.cache_clear()
