"""Federated training with a bound for each client's images."""

from pathlib import Path

import pytest
from federated_runs import three_clients, trained_run

from compress.data import batches
from compress.federated import local_training
from compress.federated.task import Task
from compress.files.records import read_record
from compress.stages.federate import simulate, task_of
from compress.stages.federate_options import FederateOptions
from compress.stages.private_record import privacy_record
from compress.training import privacy_accounting
from compress.training.privacy import Privacy
from compress.training.privacy_accounting import epsilon_of
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype


def test_each_client_adds_noise_and_keeps_what_it_spent(
    folder_data: Path, tmp_path: Path, tiny: Genotype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "WORKERS", 0)
    monkeypatch.setattr(privacy_accounting, "_noise_multiplier", lambda *given: 1.0)
    monkeypatch.setattr(local_training, "class_weights", None)  # private masks are not counted
    run = trained_run(tmp_path / "run", folder_data, tiny)
    options = FederateOptions(rounds=2, local_steps=1, dp_epsilon=8.0, max_grad_norm=0.5)
    simulate(run, three_clients(folder_data, tmp_path / "clients"), options)
    record = run.metrics("federate")
    first, last = record["rounds"]
    images = {client["name"]: client["images"] for client in last["clients"]}
    assert images == {"north": 6, "south": 6, "west": 5}
    for client in last["clients"]:
        expected = epsilon_of([(1.0, 2 / client["images"], 2)], 1 / (10 * client["images"]))
        assert (client["epsilon"], client["loss"]) == (expected, 0.0)
        kept = read_record(run.path / "federate" / "clients" / client["name"] / "privacy.json", "")
        assert kept["spent"] == [[1.0, 2 / client["images"], 2]]
    assert all(
        client["epsilon"] > one["epsilon"] for client, one in zip(last["clients"], first["clients"], strict=True)
    )
    found = privacy_record(run)
    assert found is not None
    assert found["epsilon"] == max(client["epsilon"] for client in last["clients"])
    assert (found["unit"], found["max_grad_norm"]) == ("one image of a client", 0.5)
    task = task_of(run, run.network("train"), options)
    assert Task.from_json(task.to_json()).privacy == Privacy(8.0, None, 0.5)


def test_fedprox_has_no_bound() -> None:
    with pytest.raises(InputError, match=r"--strategy fedprox: .* with --dp-epsilon take fedavg or fedbn"):
        FederateOptions(strategy="fedprox", dp_epsilon=8.0)
