"""Every refusal of a command, with its line and exit code."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import Command, flags, run_stage
from PIL import Image

import nas.latency
import nas.report
import nas.search
from compress.files.records import read_record, write_record
from compress.stages.run import STAGES, open_run


@pytest.mark.parametrize(
    ("remove", "stage", "said"),
    [
        ("train/metrics.json", "prune", "train is missing or half-written; run python -m compress.train"),
        ("prune/network.pt", "distill", "prune is missing or half-written; run python -m compress.prune"),
        ("config.json", "train", "config.json is missing; the folder is not a run of python -m nas.search"),
        ("search/winner.pt", "train", "the search has not finished; run python -m nas.search --resume"),
        ("genotype.json", "train", "the search has not finished; run python -m nas.search --resume"),
        ("table.json", "prune", "table.json is missing; python -m nas.search --resume writes it"),
        ("quantize/model.float.tflite", "export", "quantize is missing or half-written"),
        ("quantize/network.pt", "verify", "quantize is missing or half-written"),
        ("model.tflite", "verify", "export is missing or half-written; run python -m compress.export"),
        ("model.onnx", "verify", "export is missing or half-written; run python -m compress.export"),
    ],
)
def test_what_is_missing_is_said(
    whole: Path, tmp_path: Path, command: Command, remove: str, stage: str, said: str
) -> None:
    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    (copy / remove).unlink()
    code, _, err = run_stage(command, stage, copy)
    assert (code, said in err, len(err.splitlines())) == (2, True, 1), err


def gone(folder: Path) -> None:
    shutil.rmtree(folder)


def half_written(folder: Path) -> None:
    """As a kill leaves it before the record."""
    (folder / "metrics.json").unlink()


def cut_short(folder: Path) -> None:
    record = folder / "metrics.json"
    record.write_bytes(record.read_bytes()[:100])


def no_record(folder: Path) -> None:
    (folder / "metrics.json").write_text("[]")


def half_made(folder: Path) -> None:
    """A file shorter than its record says."""
    made = open_run(folder.parent).made(folder.name)
    made.write_bytes(made.read_bytes()[:1000])


def of_another_genotype(folder: Path) -> None:
    """The whole folder comes from another run: its record fits its files."""
    record = read_record(folder / "metrics.json", "")
    write_record(folder / "metrics.json", {**record, "source": "0123456789ab"})


@pytest.mark.parametrize("stage", [*STAGES[1:], "verify", "report"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (gone, "{before} is missing or half-written; run python -m compress.{before} {run} first"),
        (half_written, "{before} is missing or half-written; run python -m compress.{before} {run} first"),
        (cut_short, "cannot be read"),
        (no_record, "it must hold an object"),
        (half_made, "{before} does not fit its "),
        (of_another_genotype, "{before} was made from another "),
    ],
)
def test_a_stage_refuses_what_stands_before_it(
    whole: Path, tmp_path: Path, command: Command, stage: str, damage: Callable[[Path], None], said: str
) -> None:
    """An earlier stage that is missing, half-written or from another genotype: one line that says so."""
    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    before = STAGES[STAGES.index(stage) - 1] if stage in STAGES else STAGES[-1]
    damage(copy / before)
    code, _, err = command(nas.report.main, copy) if stage == "report" else run_stage(command, stage, copy)
    expected = said.format(before=before, run=copy)
    assert (code, expected in err, len(err.splitlines())) == (2, True, 1), err


def test_training_refuses_a_winner_of_another_genotype(whole: Path, tmp_path: Path, command: Command) -> None:
    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    shutil.copyfile(copy / "search" / "teacher.pt", copy / "search" / "winner.pt")
    code, _, err = run_stage(command, "train", copy)
    assert (code, "genotype.json: search/winner.pt is another" in err, len(err.splitlines())) == (2, True, 1), err
    (copy / "search" / "winner.pt").write_bytes(b"half")
    code, _, err = run_stage(command, "train", copy)
    assert (code, "winner.pt cannot be loaded" in err, len(err.splitlines())) == (2, True, 1), err


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, command: Command) -> None:
    for stage in (*STAGES, "verify"):
        code, _, err = run_stage(command, stage, tmp_path / "nowhere")
        assert (code, "there is no such run folder" in err, len(err.splitlines())) == (2, True, 1), err


@pytest.mark.parametrize("budget", ["0", "-3", "nan", "inf"])
def test_a_budget_that_is_none_is_refused(here: Path, command: Command, budget: str) -> None:
    code, _, err = command(nas.search.main, f"--budget-ms={budget}")
    assert code == 2
    assert err.startswith("--budget-ms")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--budget-ms", "soon"], "invalid float value: 'soon'"),
        ([], "--budget-ms"),
        (
            ["--budget-ms", 30, "--data", "moon"],
            "choose from landcover, camvid:DIR, voc:DIR, cityscapes:DIR, ade20k:DIR",
        ),
        (["--budget-ms", 30, "--data", "folder:/nowhere"], "there is no folder /nowhere"),
        (["--budget-ms", 30, "--input-size", "big"], "--input-size big"),
        (["--budget-ms", 30, "--input-size", "8"], "--input-size 8x8"),
        (["--budget-ms", 30, "--space", "unet"], "choose from deeplabv1, deeplabv2, deeplabv3, deeplabv3plus, lraspp"),
        (["--budget-ms", 30, "--preset", "fast"], "choose from toy, quick, standard, best"),
        (["--budget-ms", 30, "--target", "moon"], "give host, ssh:USER@HOST"),
        (["--budget-ms", 30, "--trials", 0], "--trials 0"),
        (["--budget-ms", 30, "--threads", 0], "--threads 0"),
        (["--budget-ms", 30, "--loss", "kl"], "--loss kl: 'kl' is none; choose from ce, ohem"),
        (["--budget-ms", 30, "--loss", "ce=many"], "ce has the weight 'many'"),
        (["--budget-ms", 30, "--class-weights", "fair"], "--class-weights fair: choose from root, effective, equal"),
        (["--budget-ms", 30, "--schedule", "flat"], "--schedule flat: choose from one-cycle, poly"),
        (["--budget-ms", 30, "--ema", 1], "--ema 1: give a decay from 0"),
        (["--budget-ms", 30, "--augment", "moon"], "--augment moon: choose from photo, road, aerial, medical"),
        (["--budget-ms", 30, "--weights", "/nowhere.pt"], "--weights /nowhere.pt: there is no such file"),
        (
            ["--budget-ms", 30, "--table", "/nowhere.json"],
            "/nowhere.json is missing; build it with python -m nas.latency",
        ),
    ],
)
def test_a_bad_flag_is_one_line(here: Path, command: Command, arguments: list[object], said: str) -> None:
    code, _, err = command(nas.search.main, *arguments)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1, err


@pytest.mark.parametrize(
    "name",
    ["../../x", "a/b", "/tmp/x", ".", "..", "", ".hidden", "-x", "a?b", "a%20b", "a\nb", "latency", "data", "x" * 300],
)
def test_a_run_is_one_folder_under_runs(elsewhere: Path, command: Command, name: str) -> None:
    code, _, err = command(nas.search.main, "--budget-ms", 30, f"--run={name}")
    assert (code, err.startswith("--run "), len(err.splitlines())) == (2, True, 1), err
    assert not list(elsewhere.iterdir())


def test_data_that_changed_since_the_run_started_is_refused(
    whole: Path, here: Path, folder_data: Path, host_table: Path, command: Command
) -> None:
    """A mask is mended, or an image is taken away: the run is not gone on with, and the line says what changed."""
    data = Path(shutil.copytree(folder_data, here / "mended"))
    run = Path(shutil.copytree(whole, here / "runs" / "mended"))
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "data": f"folder:{data}"}))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    mask = np.asarray(Image.open(data / "train" / "masks" / "0.png")).copy()
    mask[10:20, 10:20] = (mask[10:20, 10:20] + 1) % 3
    Image.fromarray(mask).save(data / "train" / "masks" / "0.png")
    asked = [*flags(data, host_table, "mended"), "--resume"]
    code, _, err = command(nas.search.main, *asked)
    changed = f"--data folder:{data} changed since runs/mended was started: "
    assert (code, len(err.splitlines())) == (2, 1), err
    assert err.startswith(f"{changed}images or masks have other contents or names; restore the data")
    for kind in ("images", "masks"):
        (data / "train" / kind / "5.png").unlink()
    code, _, err = command(nas.search.main, *asked)
    assert (code, err.startswith(f"{changed}6 training pairs became 5; restore the data")) == (2, True), err
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_budget_nobody_meets_names_the_smallest(
    here: Path, folder_data: Path, host_table: Path, command: Command
) -> None:
    code, _, err = command(nas.search.main, *flags(folder_data, host_table, "small", budget=0.001))
    assert code == 3
    assert "no network of deeplabv3plus meets --budget-ms 0.001: the smallest takes" in err
    assert len(err.splitlines()) == 1


def test_a_table_of_another_space_is_refused(here: Path, folder_data: Path, host_table: Path, command: Command) -> None:
    code, _, err = command(nas.search.main, *flags(folder_data, host_table, "other"), "--space", "lraspp")
    assert code == 2
    assert "made for space deeplabv3plus, not lraspp; build one with python -m nas.latency build" in err
    assert len(err.splitlines()) == 1


def test_bad_data_is_found_before_anything_is_trained(
    here: Path, folder_data: Path, host_table: Path, tmp_path: Path, command: Command
) -> None:
    copy = Path(shutil.copytree(folder_data, tmp_path / "data"))
    Image.fromarray(np.full((96, 96), 9, np.uint8)).save(copy / "train" / "masks" / "5.png")
    (copy / "train" / "masks" / "4.png").unlink()
    code, _, err = command(nas.search.main, *flags(copy, host_table, "bad"))
    assert code == 2
    first, second, *more = err.splitlines()
    assert first == f"--data folder:{copy}: 2 wrong files"
    assert second.startswith(f"{copy / 'train' / 'masks' / '4.png'}: the file is missing")
    assert "masks/5.png: class 9 is out of range" in more[0]
    assert len(more) == 1
    assert not (here / "runs" / "bad" / "config.json").exists()


def test_a_run_is_not_overwritten_nor_resumed_as_another(
    whole: Path, folder_data: Path, host_table: Path, command: Command
) -> None:
    code, _, err = command(nas.search.main, *flags(folder_data, host_table))
    assert (code, "add --resume" in err) == (2, True)
    code, _, err = command(nas.search.main, *flags(folder_data, host_table, budget=40), "--resume")
    assert (code, "was started with --budget-ms 50.0" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sampler", "magic"], "choose from tpe, nsga2"),
        (["--pruner", "median"], "needs --strategy train"),
        (["--strategy", "guess"], "choose from probe, supernet, train"),
        (["--pareto", "size", "--sampler", "evolution"], "has one objective"),
        (["--max-size-kib", -1], "--max-size-kib -1"),
        (["--workers", 0], "--workers 0"),
        (["--storage", "shoebox"], "give sqlite:///FILE"),
        (["--storage", "sqlite://"], "give sqlite:///FILE"),
        (["--storage", "sqlite:///a.db?mode=memory"], "give sqlite:///FILE"),
        (["--storage", "grpc://host"], "give grpc://HOST:PORT"),
    ],
)
def test_a_search_that_cannot_be_is_one_line(here: Path, command: Command, arguments: list[object], said: str) -> None:
    code, _, err = command(nas.search.main, "--budget-ms", 30, *arguments)
    assert (code, said in err, len(err.splitlines())) == (2, True, 1), err
