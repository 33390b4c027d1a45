"""The main job as a user types it: the whole way on tiny data, and its stages alone."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import get_args

import pytest
from commands import Command, flags, run_stage
from conftest import brief_table
from stage_runs import BySize

import compress.distill
import compress.export
import compress.prune
import compress.quantize
import compress.stages.run
import compress.train
import compress.verify
import nas.latency
import nas.report
import nas.search
from compress.files.tensors import load_network
from compress.latency.spec import TableSpec
from compress.stages.config import Part
from compress.stages.run import STAGES, open_run
from compress.tflite.reader import check_all_int8
from search_spaces import costs, get_space


def test_the_main_job_leaves_what_it_promises(whole: Path) -> None:
    result = json.loads((whole / "result.json").read_text())
    assert [stage["name"] for stage in result["stages"]] == list(STAGES)
    assert 0 <= result["miou"] <= 1
    assert 0 < result["latency_ms"] <= result["budget_ms"] == 50
    assert result["search"]["trials"] == 4
    assert set(result["stages"][0]) == {
        *("name", "miou", "latency_ms", "predicted_latency_ms", "params", "macs", "size_bytes", "wall_s"),
    }
    config = json.loads((whole / "config.json").read_text())
    assert {"seed", "versions", "fingerprint", "device"} <= set(config)
    for name in ("study.db", "search.jsonl", "model.tflite", "model.float.tflite", "model.onnx", "report.html"):
        assert (whole / name).stat().st_size > 0
    quantized = json.loads((whole / "quantize" / "metrics.json").read_text())
    floats = quantized["float_ops"]  # a network of four steps' training may need some
    assert check_all_int8((whole / "model.tflite").read_bytes(), floats.values()) + len(floats) > 20
    teacher = load_network(whole / "search" / "teacher.pt")
    assert costs.params(teacher.graph) > result["stages"][0]["params"]
    verified = json.loads((whole / "export" / "metrics.json").read_text())
    assert verified["onnx_agreement_with_torch"] > 0.99
    # four steps leave classes nearly equal, so int8 decides many pixels; test_export_variants asks a trained network
    assert verified["agreement_with_torch"] > 0.7


def test_pruning_leaves_a_network_within_the_budget_as_it_is(whole: Path) -> None:
    train, prune = (json.loads((whole / name / "metrics.json").read_text()) for name in ("train", "prune"))
    assert prune["target_ms"] == 0.95 * 50 > train["predicted_latency_ms"]
    assert prune["rounds"] == []
    assert prune["genotype"] == train["genotype"]
    assert prune["miou"] == train["miou"]


def test_the_card_says_how_to_run_the_model(whole: Path) -> None:
    card = json.loads((whole / "model.json").read_text())
    height, width = card["input"]["shape"][1:3]
    assert card["output"]["shape"] == [1, height // card["output"]["stride"], width // card["output"]["stride"]]
    assert card["classes"] == ["class0", "class1", "class2"]
    assert card["input"]["type"] == "int8"
    assert card["input"]["bands"]["bands"] == [1, 2, 3]


def test_the_report_is_one_escaped_page(whole: Path, command: Command) -> None:
    code, out, _ = command(nas.report.main, whole)
    page = (whole / "report.html").read_text()
    assert "Nothing was pruned: 47.50 ms were allowed." in page
    assert "Nothing was distilled: the network had no teacher but itself." in page
    assert (code, out.strip()) == (0, str(whole / "report.html"))
    assert page.count("<svg ") == 3
    assert "http" not in page.replace("http://127.0.0.1:8080/", "")  # the dashboard's
    assert all(f"<td>{stage}" in page for stage in STAGES)


def test_resuming_a_finished_run_changes_nothing(
    whole: Path, folder_data: Path, host_table: Path, command: Command
) -> None:
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.suffix in (".tflite", ".pt", ".jsonl")}
    code, out, _ = command(nas.search.main, *flags(folder_data, host_table), "--resume")
    assert code == 0
    assert "model.tflite: mIoU" in out
    assert before == {path: path.read_bytes() for path in before}


def test_a_stage_alone_and_the_chain_after_it(
    whole: Path, here: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pruning anew makes the later stages stale: they are refused until made anew as well."""
    monkeypatch.setattr(compress.stages.run, "open_target", lambda *given: BySize(reference_ms=1.0))
    copy = Path(shutil.copytree(whole, here / "runs" / "copy"))
    goal = 0.7 * json.loads((copy / "train" / "metrics.json").read_text())["predicted_latency_ms"]
    code, _, err = command(compress.prune.main, copy, "--target-ms", goal)
    assert code == 0, err
    assert json.loads((copy / "prune" / "metrics.json").read_text())["predicted_latency_ms"] <= goal
    code, _, err = command(compress.verify.main, copy)
    assert code == 2
    assert err.splitlines() == [
        f"{copy}: distill was made from another prune; run python -m compress.distill {copy} first"
    ]


@pytest.fixture
def wide(whole: Path, here: Path, folder_data: Path, host_wanted: TableSpec, command: Command) -> list[object]:
    """The flags of a search with every choice of training, at a size that is not square; its search, made once."""
    table = here / "wide.json"
    if not table.exists():
        brief_table(dataclasses.replace(host_wanted, input_size=(64, 128)), table)
    recipe = ["--loss", "ohem,dice=0.5,lovasz", "--class-weights", "effective", "--schedule", "poly", "--ema", 0.9]
    recipe += ["--augment", "aerial", "--weights", whole / "search" / "teacher.pt"]
    wider_at_every_resolution = ["--input-size", "64x128"]
    asked = [*flags(folder_data, table, "wide"), *wider_at_every_resolution, *recipe, "--search-only"]
    if not (here / "runs" / "wide").exists():
        code, out, err = command(nas.search.main, *asked)
        assert code == 0, err
        assert re.search(r"teacher\.pt: (\d+) of the largest network's \1 tensors start from it, 0 at random", out)
    return asked


def test_a_recipe_of_ones_own_at_a_size_that_is_not_square(wide: list[object], here: Path, command: Command) -> None:
    """The search and every training take each choice."""
    run = open_run(here / "runs" / "wide")
    schedules = [run.config.schedule(part) for part in get_args(Part)]
    assert {(schedule.lr_schedule, schedule.ema) for schedule in schedules} == {("poly", 0.9)}
    height, width = run.genotype.resolution
    assert width > height
    for stage in ("train", "prune", "distill"):
        code, _, err = run_stage(command, stage, run.path)
        assert code == 0, err
    assert command(nas.search.main, *wide, "--resume")[0] == 0
    code, _, err = command(nas.search.main, *wide, "--resume", "--ema", 0)
    assert (code, "was started with --ema 0.9; choose another --run" in err) == (2, True)


@pytest.mark.slow
def test_stages_alone_read_the_recipe_from_the_run_folder(wide: list[object], here: Path, command: Command) -> None:
    run = open_run(here / "runs" / "wide")
    stages = (("train",), ("prune",), ("distill",), ("quantize", "--qat-steps", 2), ("export",), ("verify",))
    for stage, *more in stages:
        code, _, err = run_stage(command, stage, run.path, *more)
        assert code == 0, err
    assert json.loads((run.path / "model.json").read_text())["input"]["shape"][1:3] == [*run.genotype.resolution]
    assert command(nas.report.main, run.path)[0] == 0
    exported, result = (json.loads((run.path / name).read_text()) for name in ("export/metrics.json", "result.json"))
    assert (exported["latency_ms"], exported["miou"]) == (result["latency_ms"], result["miou"])


def test_a_run_of_before_there_were_recipes_goes_on(
    whole: Path, here: Path, folder_data: Path, host_table: Path, command: Command
) -> None:
    old = here / "runs" / "old"
    shutil.copytree(whole, old)
    config = json.loads((old / "config.json").read_text())
    for name in ("loss", "class_weights", "schedule", "ema", "augment", "weights"):
        del config[name]
    (old / "config.json").write_text(json.dumps(config))
    code, _, err = command(nas.search.main, *flags(folder_data, host_table, "old"), "--resume")
    assert code == 0, err
    assert open_run(old).config == open_run(whole).config


@pytest.mark.slow
def test_another_space_goes_the_whole_way(
    here: Path, folder_data: Path, host_wanted: TableSpec, command: Command
) -> None:
    """With dense and separable branches and MobileNetV3's blocks in one supernet."""
    wanted = dataclasses.replace(host_wanted, space=get_space("deeplabv3"))
    table = brief_table(wanted, here / "deeplabv3.json")
    code, _, err = command(nas.search.main, *flags(folder_data, table, "deeplabv3"), "--space", "deeplabv3")
    assert code == 0, err
    run = here / "runs" / "deeplabv3"
    result = json.loads((run / "result.json").read_text())
    assert result["genotype"]["space"] == "deeplabv3"
    assert [stage["name"] for stage in result["stages"]] == list(STAGES)
    floats = json.loads((run / "quantize" / "metrics.json").read_text())["float_ops"]
    assert check_all_int8((run / "model.tflite").read_bytes(), floats.values()) + len(floats) > 20
    assert json.loads((run / "export" / "metrics.json").read_text())["onnx_agreement_with_torch"] > 0.99
    goal = 0.9 * result["predicted_latency_ms"]
    assert command(compress.prune.main, run, "--target-ms", goal)[0] == 0
    assert json.loads((run / "prune" / "metrics.json").read_text())["predicted_latency_ms"] <= goal


def test_show_prints_a_table(host_table: Path, command: Command) -> None:
    code, out, _ = command(nas.latency.main, "show", host_table)
    assert code == 0
    assert "deeplabv3plus" in out
    assert "depthwise" in out
