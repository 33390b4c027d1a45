"""The commands as a user types them: the whole way on tiny data, every refusal with its line and exit code."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import brief_table
from PIL import Image

import compress.distill
import compress.export
import compress.prune
import compress.quantize
import compress.train
import compress.verify
import nas.latency
import nas.report
import nas.search
from compress.cli import run_command
from compress.fit import Schedule
from compress.run import load_network
from compress.stage import STAGES, open_run
from compress.tflite import check_all_int8
from nas.score import Scorer
from nas.table_builder import Wanted
from search_spaces import costs, get_space

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs a command's main in this process; returns exit code, stdout, stderr."""

    def run(main: Callable[[], None], *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            run_command(main)
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workplace")


@pytest.fixture
def here(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(workplace)
    return workplace


def flags(data: Path, table: Path, run: str = "whole", budget: object = 50) -> list[object]:
    common = ["--budget-ms", budget, "--data", f"folder:{data}", "--table", table, "--input-size", 64]
    return [*common, "--preset", "toy", "--run", run]


@pytest.fixture
def whole(here: Path, folder_data: Path, host_table: Path, command: Command) -> Path:
    """A finished run, made once."""
    path = here / "runs" / "whole"
    if not (path / "result.json").exists():
        code, _, err = command(nas.search.main, *flags(folder_data, host_table))
        assert code == 0, err
    return path


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
    assert check_all_int8((whole / "model.tflite").read_bytes(), quantized["float_ops"].values()) > 20
    teacher = load_network(whole / "search" / "teacher.pt")
    assert costs.params(teacher.graph) > result["stages"][0]["params"]
    verified = json.loads((whole / "export" / "metrics.json").read_text())
    assert verified["onnx_agreement_with_torch"] > 0.99
    assert verified["agreement_with_torch"] > 0.8


def test_pruning_made_the_network_narrower(whole: Path) -> None:
    train, prune = (json.loads((whole / name / "metrics.json").read_text()) for name in ("train", "prune"))
    assert prune["predicted_latency_ms"] <= 0.9 * train["predicted_latency_ms"] + 1e-6
    assert prune["params"] < train["params"]


def test_candidates_are_listed(whole: Path) -> None:
    lines = [json.loads(line) for line in (whole / "search.jsonl").read_text().splitlines()]
    scored = [line for line in lines if line["state"] == "complete"]
    assert len(scored) == 4
    assert all(0 <= line["miou"] <= 1 and line["predicted_latency_ms"] <= 50 for line in scored)


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
    assert (code, out.strip()) == (0, str(whole / "report.html"))
    assert page.count("data:image/png;base64,") == 2
    assert "http" not in page
    assert all(f"<td>{stage}" in page for stage in STAGES)


def test_resuming_a_finished_run_changes_nothing(
    whole: Path, folder_data: Path, host_table: Path, command: Command
) -> None:
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.suffix in (".tflite", ".pt", ".jsonl")}
    code, out, _ = command(nas.search.main, *flags(folder_data, host_table), "--resume")
    assert code == 0
    assert "model.tflite: mIoU" in out
    assert before == {path: path.read_bytes() for path in before}


def test_the_same_seed_gives_the_same_candidates(
    whole: Path, here: Path, folder_data: Path, host_table: Path, command: Command
) -> None:
    code, _, err = command(nas.search.main, *flags(folder_data, host_table, "again"), "--search-only")
    assert code == 0, err
    one, other = ((here / "runs" / run / "search.jsonl").read_text() for run in ("whole", "again"))
    assert one == other


def test_a_search_killed_between_candidates_goes_on(
    whole: Path, here: Path, folder_data: Path, host_table: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third score dies; the resumed search ends with the candidates of an uninterrupted one."""
    real, calls = Scorer.score, 0

    def dying(scorer: Scorer, *arguments: Any, **more: Any) -> float:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return real(scorer, *arguments, **more)

    monkeypatch.setattr(Scorer, "score", dying)
    asked = [*flags(folder_data, host_table, "killed"), "--search-only"]
    assert command(nas.search.main, *asked)[0] == 130
    monkeypatch.setattr(Scorer, "score", real)
    assert command(nas.search.main, *asked, "--resume")[0] == 0
    one, other = ((here / "runs" / run / "search.jsonl").read_text() for run in ("whole", "killed"))
    assert one == other


def test_a_stage_alone_and_the_chain_after_it(whole: Path, here: Path, command: Command) -> None:
    """Pruning anew makes the later stages stale: they are refused until made anew as well."""
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


@pytest.mark.parametrize(
    ("remove", "stage", "said"),
    [
        ("train/metrics.json", "prune", "train is missing or half-written; run python -m compress.train"),
        ("prune/network.pt", "distill", "prune is missing or half-written; run python -m compress.prune"),
        ("config.json", "train", "config.json is missing; the folder is not a run of python -m nas.search"),
        ("search/winner.pt", "train", "the search has not finished; run python -m nas.search --resume"),
        ("table.json", "prune", "table.json is missing; python -m nas.search --resume writes it"),
        ("model.tflite", "verify", "model.tflite is missing; run python -m compress.export"),
    ],
)
def test_what_is_missing_is_said(
    whole: Path, tmp_path: Path, command: Command, remove: str, stage: str, said: str
) -> None:
    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    (copy / remove).unlink()
    code, _, err = run_stage(command, stage, copy)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1, err


def test_a_stage_on_weights_that_changed_is_refused(whole: Path, tmp_path: Path, command: Command) -> None:
    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    (copy / "train" / "network.pt").write_bytes(b"something else")
    code, _, err = run_stage(command, "prune", copy)
    assert (code, "train does not fit its network.pt" in err) == (2, True)


def run_stage(command: Command, stage: str, run: Path, *more: object) -> tuple[int, str, str]:
    """Stage scripts as `python -m compress.STAGE RUN` starts them."""
    import runpy

    def main() -> None:
        runpy.run_module(f"compress.{stage}", run_name="__main__", alter_sys=True)

    return command(main, run, *more)


def test_a_recipe_of_ones_own_at_a_size_that_is_not_square(
    whole: Path, here: Path, folder_data: Path, host_wanted: Wanted, command: Command
) -> None:
    """Every choice of training goes all the way, and the stages read it from the run folder."""
    table = brief_table(dataclasses.replace(host_wanted, input_size=(64, 96)), here / "wide.json")
    recipe = ["--loss", "ohem,dice=0.5,lovasz", "--class-weights", "effective", "--schedule", "poly", "--ema", 0.9]
    recipe += ["--augment", "aerial", "--weights", whole / "search" / "teacher.pt"]
    asked = [*flags(folder_data, table, "wide"), "--input-size", "64x96", *recipe]
    code, out, err = command(nas.search.main, *asked)
    assert code == 0, err
    assert re.search(r"teacher\.pt: (\d+) of the largest network's \1 tensors start from it, 0 at random", out)
    run = open_run(here / "runs" / "wide")
    schedules = [value for value in vars(run.settings.schedules).values() if isinstance(value, Schedule)]
    assert {(schedule.shape, schedule.ema) for schedule in schedules} == {("poly", 0.9)}
    card = json.loads((run.path / "model.json").read_text())
    height, width = card["input"]["shape"][1:3]
    assert (height, width) == tuple(run.genotype.resolution)
    assert width > height
    assert command(nas.search.main, *asked, "--resume")[0] == 0
    code, _, err = command(nas.search.main, *asked, "--resume", "--ema", 0)
    assert (code, "was started with --ema 0.9; choose another --run" in err) == (2, True)
    for stage, *more in (("prune",), ("distill",), ("quantize", "--qat-steps", 2), ("export",), ("verify",)):
        code, _, err = run_stage(command, stage, run.path, *more)
        assert code == 0, err


def test_candidates_start_from_weights(
    whole: Path, here: Path, folder_data: Path, host_table: Path, command: Command
) -> None:
    weights = ["--weights", whole / "search" / "teacher.pt"]
    asked = [*flags(folder_data, host_table, "warm"), "--search-only", "--strategy", "train", "--trials", 2, *weights]
    code, out, err = command(nas.search.main, *asked)
    assert code == 0, err
    assert "tensors start from it" in out


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
    assert open_run(old).settings == open_run(whole).settings


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


@pytest.mark.slow
def test_another_space_goes_the_whole_way(here: Path, folder_data: Path, host_wanted: Wanted, command: Command) -> None:
    """With dense and separable branches and MobileNetV3's blocks in one supernet."""
    wanted = dataclasses.replace(host_wanted, space=get_space("deeplabv3"))
    table = brief_table(wanted, here / "deeplabv3.json")
    code, _, err = command(nas.search.main, *flags(folder_data, table, "deeplabv3"), "--space", "deeplabv3")
    assert code == 0, err
    run = here / "runs" / "deeplabv3"
    result = json.loads((run / "result.json").read_text())
    assert result["genotype"]["space"] == "deeplabv3"
    assert [stage["name"] for stage in result["stages"]] == list(STAGES)
    train, prune = result["stages"][:2]
    assert prune["predicted_latency_ms"] <= 0.9 * train["predicted_latency_ms"] + 1e-6
    floats = json.loads((run / "quantize" / "metrics.json").read_text())["float_ops"]
    assert check_all_int8((run / "model.tflite").read_bytes(), floats.values()) > 20
    assert json.loads((run / "export" / "metrics.json").read_text())["onnx_agreement_with_torch"] > 0.99


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


def test_show_prints_a_table(host_table: Path, command: Command) -> None:
    code, out, _ = command(nas.latency.main, "show", host_table)
    assert code == 0
    assert "deeplabv3plus" in out
    assert "depthwise" in out


def listed(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "search.jsonl").read_text().splitlines()]


def test_workers_share_a_search(here: Path, folder_data: Path, host_table: Path, command: Command) -> None:
    asked = [*flags(folder_data, host_table, "shared"), "--search-only", "--workers", 2, "--trials", 6]
    code, _, err = command(nas.search.main, *asked, "--storage", f"journal:{here}/shared.log")
    assert code == 0, err
    run = here / "runs" / "shared"
    assert [line["state"] for line in listed(run)].count("complete") == 6
    assert "Error" not in (run / "search" / "worker-1.log").read_text()
    assert "shared.log" in json.loads((run / "config.json").read_text())["storage"]
    code, _, err = command(nas.search.main, *asked, "--resume")
    assert (code, "was started with --storage journal:" in err) == (2, True)


def test_candidates_trained_by_themselves(here: Path, folder_data: Path, host_table: Path, command: Command) -> None:
    asked = [*flags(folder_data, host_table, "trained"), "--search-only", "--strategy", "train", "--pruner", "median"]
    asked += ["--workers", 2]
    code, _, err = command(nas.search.main, *asked)
    assert code == 0, err
    run = here / "runs" / "trained"
    winner = json.loads((run / "genotype.json").read_text())
    best = max((line for line in listed(run) if line["state"] == "complete"), key=lambda line: line["miou"])
    assert winner == best["genotype"]
    assert not (run / "search" / "supernet.pt").exists()
    assert list((run / "search" / "candidates").glob("*/network.pt"))


def test_a_front_is_kept(here: Path, folder_data: Path, host_table: Path, command: Command) -> None:
    asked = [*flags(folder_data, host_table, "front"), "--search-only", "--pareto", "size", "--sampler", "nsga2"]
    code, _, err = command(nas.search.main, *asked)
    assert code == 0, err
    front = json.loads((here / "runs" / "front" / "search" / "pareto.json").read_text())
    assert front[0]["genotype"] == json.loads((here / "runs" / "front" / "genotype.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sampler", "magic"], "choose from tpe, nsga2"),
        (["--pruner", "median"], "needs --strategy train"),
        (["--strategy", "guess"], "choose from supernet, train"),
        (["--pareto", "size", "--sampler", "evolution"], "has one objective"),
        (["--max-size-kib", -1], "--max-size-kib -1"),
        (["--workers", 0], "--workers 0"),
        (["--storage", "shoebox"], "give sqlite:///FILE"),
    ],
)
def test_a_search_that_cannot_be_is_one_line(here: Path, command: Command, arguments: list[object], said: str) -> None:
    code, _, err = command(nas.search.main, "--budget-ms", 30, *arguments)
    assert (code, said in err, len(err.splitlines())) == (2, True, 1), err


def spoken(arguments: list[object], here: Path, *python: str) -> "subprocess.Popen[str]":
    """The command as a process of its own."""
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    command = [sys.executable, "-m", *python, "nas.search", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=here, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@pytest.mark.slow
def test_the_same_command_joins(here: Path, folder_data: Path, host_table: Path) -> None:
    asked = [*flags(folder_data, host_table, "joined"), "--search-only", "--trials", 20]
    first, second = (spoken([*asked, "--resume"], here) for _ in range(2))
    said = [process.communicate(timeout=300)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], said
    assert sum("joining its search" in text for text in said) == 1
    assert sum("winner:" in text for text in said) == 1
    assert [line["state"] for line in listed(here / "runs" / "joined")].count("complete") == 20


@pytest.mark.slow
def test_torchrun_trains_the_supernet_on_two_processes(here: Path, folder_data: Path, host_table: Path) -> None:
    asked = [*flags(folder_data, host_table, "ranks"), "--search-only"]
    process = spoken(asked, here, "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "--")
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    assert said.count("winner:") == 1
    assert len([line for line in listed(here / "runs" / "ranks") if line["state"] == "complete"]) == 4
