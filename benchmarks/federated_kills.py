"""python benchmarks/federated_kills.py RUN --clients DIR DIR --work WORK: kills federated trainings again and again.

RUN is a run whose network is trained; each DIR is a client's folder data set. There are three trainings, all by the
command `compress.federate`, with the same flags:

undisturbed  folders as clients, no kill
folders      folders as clients; the process is killed (SIGKILL) at chance moments and started again
network      a server and clients as processes of their own, with TLS and keys; each kill takes one of them by chance

After each kill the rounds that were saved are read. The table says whether each of them stands in the final record as
it was saved, whether every round counts once, and whether the final weights are those of the undisturbed training.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import torch

from compress.data import batches
from compress.federate import main as federate_main
from compress.files.tensors import load_network, load_tensors
from compress.stages.cli import run_command as compress_command

SERVER = multiprocessing.get_context("forkserver")  # imports once what every process needs
SERVER.set_forkserver_preload(["compress.stages.federation", "compress.stages.records", "compress.stages.run"])
PAUSE_SECONDS = (0.5, 8.0)  # between two kills
LEAVE_SECONDS = 60.0  # for clients, after the server has ended
FLAGS = ("--rounds", "--local-steps", "--strategy")


@dataclass
class Killer:
    """Starts processes, kills them, and keeps what was saved at each kill.

    Attributes:
        folder: Logs are written here.
        commands: The command of each process by its name.
        state: The file of the rounds that are saved.
        chance: Chooses moments and victims.
        killed: The name of each process that was killed, in order.
        saved: The record of the saved rounds after each kill.
        running: The processes.
    """

    folder: Path
    commands: dict[str, list[str]]
    state: Path
    chance: random.Random
    killed: list[str] = field(default_factory=list)
    saved: list[list[dict[str, Any]]] = field(default_factory=list)
    running: dict[str, ForkServerProcess] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Starts a process; its output is appended to its log."""
        given = (self.commands[name], self.folder / f"{name}.log")
        self.running[name] = SERVER.Process(target=run_command_line, args=given, name=name)
        self.running[name].start()

    def kill(self, name: str) -> None:
        """Kills a process, notes what is saved, and starts it again."""
        self.running[name].kill()
        self.running[name].join()
        self.killed.append(name)
        if self.state.exists():
            self.saved.append(json.loads(str(load_tensors(self.state)["history"])))
        self.start(name)

    def run(self, kills: int, leader: str) -> None:
        """Runs all processes to their end, with kills at chance moments.

        Args:
            kills: How many.
            leader: The process whose end is the end of the training.

        Raises:
            RuntimeError: A process failed; its log says why.
        """
        try:
            for name in self.commands:
                self.start(name)
            while self.running[leader].is_alive():
                pause = self.chance.uniform(*PAUSE_SECONDS)
                self.running[leader].join(pause if len(self.killed) < kills else None)
                if self.running[leader].is_alive():
                    self.kill(self.chance.choice(list(self.commands)))
            for name, process in self.running.items():
                process.join(LEAVE_SECONDS)
                if process.exitcode != 0:
                    raise RuntimeError(f"{name} ended with {process.exitcode}; see {self.folder / name}.log")
        finally:
            for process in self.running.values():
                process.kill()


def run_command_line(arguments: list[str], log: Path) -> None:
    """Runs `compress.federate` in a process of its own."""
    with log.open("ab") as output:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(output.fileno(), stream.fileno())
    batches.WORKERS = 0  # a process for each round of each client takes longer than the crops
    sys.argv = ["compress.federate", *arguments]
    compress_command(federate_main)


def folder_commands(run: Path, clients: list[str], flags: list[str]) -> dict[str, list[str]]:
    """The command of a training with folders as clients."""
    return {"server": [str(run), "--clients", *clients, *flags]}


def network_commands(run: Path, clients: list[str], flags: list[str], address: str, work: Path) -> dict[str, list[str]]:
    """The commands of a server and its clients, after their keys were made as docs/federated.md says."""
    keys, host = work / "keys", address.rpartition(":")[0]
    keys.mkdir(parents=True)
    certificate, secret = work / "server.pem", work / "server.key"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-days", "365"]
    name = ["-subj", f"/CN={host}", "-addext", f"subjectAltName=IP:{host}"]
    subprocess.run([*make, "-keyout", secret, "-out", certificate, *name], check=True, capture_output=True)
    own = ["--certificate", certificate, "--certificate-key", secret, "--client-keys", keys]
    commands = {"server": [str(run), "--serve", address, *map(str, own), *flags]}
    for spec in clients:
        client = Path(spec).name
        key = work / client
        subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", "", "-f", key], check=True)
        shutil.copy(key.with_suffix(".pub"), keys)
        home = work / "clients" / client
        way = ["--join", address, "--data", f"folder:{spec}", "--root", certificate, "--key", key]
        commands[client] = [str(home), *map(str, way)]
    return commands


def copied(run: Path, folder: Path) -> Path:
    """A copy of a run, without an earlier federated training."""
    return Path(shutil.copytree(run, folder / "run", ignore=shutil.ignore_patterns("federate")))


def rounds_of(run: Path) -> list[dict[str, Any]]:
    """The record of a training's rounds."""
    found: list[dict[str, Any]] = json.loads((run / "federate" / "metrics.json").read_text())["rounds"]
    return found


def row(name: str, killer: Killer, run: Path, undisturbed: Path) -> str:
    """A line of the table."""
    record = rounds_of(run)
    once = [one["round"] for one in record] == list(range(1, len(record) + 1))
    kept = all(record[: len(saved)] == saved for saved in killer.saved)
    weights = [load_network(one / "federate" / "network.pt").state_dict() for one in (run, undisturbed)]
    same = all(torch.equal(weights[0][key], weights[1][key]) for key in weights[1])
    victims = ", ".join(f"{one} {killer.killed.count(one)}" for one in dict.fromkeys(sorted(killer.killed)))
    answers = ("yes" if one else "NO" for one in (once, kept, same))
    return f"| {name} | {len(killer.killed)} | {victims} | {len(record)} | {' | '.join(answers)} |"


def main() -> None:
    """Trains three times and prints the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("run", type=Path, metavar="RUN", help="a run whose network is trained")
    arguments.add_argument("--clients", nargs="+", required=True, help="folder data sets")
    arguments.add_argument("--work", type=Path, required=True, help="a folder that does not exist yet")
    arguments.add_argument("--kills", type=int, default=20, help="in each of the two disturbed trainings")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--rounds", type=int, default=30)
    arguments.add_argument("--local-steps", type=int, default=4)
    arguments.add_argument("--strategy", default="fedavg")
    arguments.add_argument("--address", default="127.0.0.1:9092")
    given = arguments.parse_args()
    clients = [str(Path(one).resolve()) for one in given.clients]
    flags = ["--min-clients", str(len(clients))]
    for flag in FLAGS:
        flags += [flag, str(getattr(given, flag.strip("-").replace("-", "_")))]
    makers: dict[str, Callable[[Path, Path], dict[str, list[str]]]] = {
        "undisturbed": lambda run, folder: folder_commands(run, clients, flags),
        "folders": lambda run, folder: folder_commands(run, clients, flags),
        "network": lambda run, folder: network_commands(run, clients, flags, given.address, folder),
    }
    rows = [
        f"seed {given.seed}, kills at {PAUSE_SECONDS[0]:g} to {PAUSE_SECONDS[1]:g} s after the last, {given.strategy}",
        "",
        "| training | kills | of | rounds | each once | none lost | weights as undisturbed | s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, make in makers.items():
        folder = given.work / name
        folder.mkdir(parents=True)
        run, begun = copied(given.run, folder), time.monotonic()
        state = run / "federate" / "rounds.pt"
        killer = Killer(folder, make(run, folder), state, random.Random(f"{given.seed} {name}"))
        killer.run(0 if name == "undisturbed" else given.kills, "server")
        undisturbed = given.work / "undisturbed" / "run"
        rows.append(f"{row(name, killer, run, undisturbed)} {time.monotonic() - begun:.0f} |")
        print(rows[-1], flush=True)
    print("\n".join(rows))


if __name__ == "__main__":
    main()
