"""`kill -9` of a search at every kind of instant: the same command with --resume ends as if nothing had happened."""

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

KILLED = -9
RUN = "killed"
SAME = ("search.jsonl", "genotype.json", "search/finalists.json")  # to the byte
# what a search leaves by its strategy; torch's files name themselves within
WEIGHTS = {
    "supernet": ("search/supernet.pt", "search/winner.pt", "search/teacher.pt"),
    "probe": ("search/winner.pt",),
}


@dataclass
class KillServer:
    """`tests/kill_server.py`, which has everything imported."""

    process: "subprocess.Popen[str]"
    arguments: list[str]

    def search(self, folder: Path, kill_at: int = 0) -> dict[str, int]:
        """One start of the command; `kill_at` is the instant at which it is killed."""
        asked = {"folder": str(folder), "arguments": self.arguments, "kill_at": kill_at, "log": str(folder / "log")}
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        answer: dict[str, int] = json.loads(self.process.stdout.readline())
        return answer


@pytest.fixture(scope="module", params=["supernet", "probe"])
def server(folder_data: Path, request: pytest.FixtureRequest) -> Iterator[KillServer]:
    here = Path(__file__).parent
    places = [here.parent, here, here.parent / "benchmarks"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places)), "CUDA_VISIBLE_DEVICES": ""}
    flags = ["--budget-ms", "50", "--data", f"folder:{folder_data}", "--input-size", "64", "--preset", "toy"]
    flags += ["--strategy", request.param]
    with subprocess.Popen(
        [sys.executable, here / "kill_server.py"],
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout and json.loads(process.stdout.readline()) == "ready"
        yield KillServer(process, [*flags, "--run", RUN, "--resume", "--search-only"])
        process.kill()


@pytest.fixture(scope="module")
def uninterrupted(server: KillServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    """What the run leaves that was never killed, and how many instants it has."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    ended = server.search(folder)
    assert ended["status"] == 0, (folder / "log").read_text()
    return left_by(folder), ended["instants"]


def left_by(folder: Path) -> dict[str, Any]:
    """All that a search leaves but times and dates."""
    run = folder / "runs" / RUN
    found: dict[str, Any] = {name: (run / name).read_bytes() for name in SAME}
    table = json.loads((run / "table.json").read_text())
    found["table"] = {name: table[name] for name in ("made_for", "coefficients", "residuals", "families")}
    strategy = json.loads((run / "config.json").read_text())["search"]["strategy"]
    for file in (*(run / name for name in WEIGHTS[strategy]), *(run / "search" / "trained").glob("*/*.pt")):
        stored = torch.load(file, weights_only=True)
        tensors = stored.get("weights", stored)
        whole = hashlib.sha256(b"".join(name.encode() + x.numpy().tobytes() for name, x in sorted(tensors.items())))
        found[str(file.relative_to(run))] = whole.hexdigest()
    return found


def killed(server: KillServer, folder: Path, instants: list[int]) -> list[int]:
    """Kills a run at one instant after the other, each counted from its start; returns those that were reached."""
    reached = []
    for instant in instants:
        if server.search(folder, instant)["status"] != KILLED:
            break
        reached.append(instant)
    ended = server.search(folder)
    assert ended["status"] == 0, (folder / "log").read_text()[-2000:]
    return reached


def test_a_search_killed_again_and_again_ends_as_an_uninterrupted_one(
    server: KillServer, uninterrupted: tuple[dict[str, Any], int], tmp_path: Path
) -> None:
    """While the table is built, between two parameters of a candidate, at a finalist, between two last files."""
    whole, count = uninterrupted
    assert count > 300
    reached = killed(server, tmp_path, [count // 4, count // 3, count // 3])
    assert len(reached) >= 2
    assert left_by(tmp_path) == whole


@pytest.mark.slow
def test_a_hundred_kills_change_nothing(
    server: KillServer, uninterrupted: tuple[dict[str, Any], int], tmp_path: Path
) -> None:
    """At instants drawn over the whole run, up to 25 in one run; the first of a run is anywhere in it."""
    whole, count = uninterrupted
    rng, kills, different = random.Random(0), 0, []
    turn = 0
    while kills < 100:
        turn += 1
        folder = tmp_path / str(turn)
        folder.mkdir()
        instants = [rng.randrange(1, count if n == 0 else count // 8) for n in range(25)]
        reached = killed(server, folder, instants)
        kills += len(reached)
        left = left_by(folder)
        if left != whole:
            different.append((turn, [name for name in whole if left.get(name) != whole[name]]))
        print(f"run {turn}: killed at {reached} of {count}; {different}", flush=True)
    print(f"{kills} kills in {turn} runs, {len(different)} runs differ: {different}")
    assert not different
