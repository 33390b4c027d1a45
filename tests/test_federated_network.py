"""Federated trainings as people run them: processes over TLS, kills, and the way to model.tflite and its report."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import federated_kills
import pytest
import torch
from commands import Command, process, run_stage
from federated_kills import network_commands
from federated_runs import free_port, own_address, three_clients

import nas.report
from compress.files.tensors import load_network

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clients(folder_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The folders of three clients."""
    specs = three_clients(folder_data, tmp_path_factory.mktemp("clients"))
    return [spec.partition(":")[2] for spec in specs.values()]


def record_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "federate" / "metrics.json").read_text())
    return found


@pytest.mark.parametrize("host", ["127.0.0.1", own_address()], ids=["loopback", "network"])
def test_a_training_over_tls_gives_the_weights_of_one_with_folders(
    host: str, clients: list[str], finished: Path, tmp_path: Path
) -> None:
    if not host:
        pytest.skip("this machine has no network")
    runs = [Path(shutil.copytree(finished / "runs" / "whole", tmp_path / name)) for name in ("folders", "network")]
    flags = ["--rounds", "2", "--local-steps", "1", "--min-clients", "3"]
    alone = process(["compress.federate", str(runs[0]), "--clients", *clients, *flags], tmp_path)
    out, _ = alone.communicate(timeout=600)
    assert alone.returncode == 0, out
    commands = network_commands(runs[1], clients, flags, f"{host}:{free_port()}", tmp_path / "files")
    running = {name: process(["compress.federate", *given], tmp_path) for name, given in commands.items()}
    for name, one in running.items():
        out, _ = one.communicate(timeout=600)
        assert one.returncode == 0, f"{name}: {out}"
        assert "PRIVATE KEY" not in out
    weights = [load_network(run / "federate" / "network.pt").state_dict() for run in runs]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert [one["round"] for one in record_of(runs[1])["rounds"]] == [1, 2]


def test_kills_lose_no_round(
    clients: list[str],
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    given = [finished / "runs" / "whole", "--clients", *clients, "--work", tmp_path / "work", "--kills", 4]
    more = ["--rounds", "8", "--local-steps", "1", "--address", f"127.0.0.1:{free_port()}"]
    monkeypatch.setattr(sys, "argv", ["federated_kills.py", *map(str, given), *more])
    federated_kills.main()
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][-3:]
    assert [row[4:7] for row in rows] == [["yes", "yes", "yes"]] * 3


def test_a_federated_run_ends_in_a_verified_file_and_a_report(
    clients: list[str], whole: Path, tmp_path: Path, command: Command
) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "runs" / "federated"))
    before = (run / "model.tflite").read_bytes()
    more = {"federate": ["--clients", *clients, "--rounds", "3", "--local-steps", "2"]}
    for stage in ("federate", "prune", "distill", "quantize", "export", "verify"):
        code, out, err = run_stage(command, stage, run, *more.get(stage, []))
        assert code == 0, (stage, out, err)
    assert (run / "model.tflite").read_bytes() != before
    code, out, err = command(nas.report.main, run)
    assert code == 0, err
    page = (run / "report.html").read_text()
    assert "Federated training" in page
    assert all(Path(client).name in page for client in clients)
