"""The stage `train` with --dp-epsilon: what it reads, what it records, and what the model card says."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from commands import Command
from stage_runs import metrics, run_without_noise

import compress.train
from compress.files.records import write_json
from compress.stages.config_file import read_config
from compress.stages.distill import distill
from compress.stages.export import export
from compress.stages.options import TrainOptions
from compress.stages.private_record import privacy_card
from compress.stages.prune import prune
from compress.stages.quantize import quantize
from compress.stages.run import Run
from compress.stages.train import train
from compress.training import privacy_accounting
from search_spaces.errors import InputError

NOISE = 1.0


@pytest.fixture
def searched(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose search is done. The search for the noise takes seconds and is left out."""
    (run.path / "search").mkdir()
    shutil.move(run.path / "train" / "network.pt", run.path / "search" / "winner.pt")
    write_json(run.path / "genotype.json", run.network("search").genotype.to_dict())
    monkeypatch.setattr(privacy_accounting, "_noise_multiplier", lambda *given: NOISE)
    return run


def test_a_private_training_records_what_it_spent_and_a_second_one_is_refused(
    searched: Run, folder_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private = shutil.copytree(folder_data, tmp_path / "private")
    train(searched, 8.0, private_data=f"folder:{private}")
    record = metrics(searched, "train")["privacy"]
    assert 0 < record["epsilon"] < 8
    assert (record["images"], record["unit"], record["max_grad_norm"]) == (6, "one image", 1.0)
    assert record["delta"] == pytest.approx(1 / 60)
    assert record["spent"] == [[NOISE, record["sample_rate"], record["steps"]]]
    assert 0 <= record["miou_on_private_validation"] <= 1
    said = capsys.readouterr().out
    assert "the bound covers all that reads folder:" in said
    assert f"spent epsilon {record['epsilon']:.3g}" in said
    assert not (searched.path / "train" / "checkpoint.pt").exists()
    with pytest.raises(InputError, match=r"earlier trainings on these images have spent"):
        train(searched, record["epsilon"] / 2, private_data=f"folder:{private}")
    train(searched, 2 * record["epsilon"], private_data=f"folder:{private}")
    both = metrics(searched, "train")["privacy"]
    assert both["spent"] == [[NOISE, record["sample_rate"], 2 * record["steps"]]]
    assert both["epsilon"] > record["epsilon"]


def test_on_the_runs_own_images_the_bound_says_what_it_does_not_cover(
    searched: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    train(searched, 8.0, 0.01, 0.5)
    said = capsys.readouterr().out
    assert "the bound covers this training alone: the search has read the same images" in said
    assert "--class-weights root would count the private masks: all classes weigh 1" in said
    record = metrics(searched, "train")["privacy"]
    assert (record["own_data"], record["delta"], record["max_grad_norm"]) == (True, 0.01, 0.5)


def test_other_classes_are_refused(searched: Run, folder_data: Path, tmp_path: Path) -> None:
    private = Path(shutil.copytree(folder_data, tmp_path / "private"))
    (private / "classes.txt").write_text(
        "other\n" + "".join((private / "classes.txt").read_text().splitlines(True)[1:])
    )
    with pytest.raises(InputError, match=r"--private-data folder:.*make the classes alike"):
        train(searched, 8.0, private_data=f"folder:{private}")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"dp_delta": 1e-5}, "--dp-delta 1e-05: needs --dp-epsilon"),
        ({"max_grad_norm": 1.0}, "--max-grad-norm 1: needs --dp-epsilon"),
        ({"private_data": "landcover"}, "--private-data landcover: needs --dp-epsilon"),
        ({"dp_epsilon": -1.0}, "--dp-epsilon -1: give a positive number"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(given: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        TrainOptions(**given)


def test_a_bad_flag_is_one_line(command: Command, trained: Path) -> None:
    code, _, err = command(compress.train.main, trained, "--dp-epsilon", "0")
    assert (code, err.strip().splitlines()) == (2, ["--dp-epsilon 0: give a positive number, such as 8"])
    assert read_config(trained)


@pytest.mark.slow
@pytest.mark.parametrize("own", [True, False])
def test_a_private_network_goes_through_all_stages(searched: Run, folder_data: Path, tmp_path: Path, own: bool) -> None:
    private = "" if own else f"folder:{shutil.copytree(folder_data, tmp_path / 'private')}"
    train(searched, 8.0, private_data=private)
    run = run_without_noise(searched.path)
    prune(run)
    distill(run)
    quantize(run)
    export(run)
    assert metrics(run, "quantize")["calibration"] == ("val" if own else "train")
    card = privacy_card(run)
    assert card is not None
    assert 0 < card["epsilon"] < 8
    readers = ["the search: the architecture and the weights that the training starts from"] if own else []
    assert card["without_noise"] == readers
    assert (run.path / "model.tflite").is_file()
