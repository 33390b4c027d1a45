"""The configuration of a run: its flags, its file, what it refuses."""

import argparse
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.stages.config import Part, RunConfig
from compress.stages.config_file import check_same, check_same_data, data_changes, read_config, write_config
from compress.stages.flags import add_flags, flagged, values_of
from compress.stages.options import DistillOptions
from compress.stages.presets import PRESETS
from nas.search import SearchFlags
from nas.storage_url import STORAGE_VARIABLE, storage_url
from search_spaces.errors import InputError

FACTS = {"train": 6, "val": 3, "classes": ["a", "b"], "bands": {"bands": [1, 2, 3]}, "fingerprint": "0" * 16}


def parsed(*arguments: str) -> RunConfig:
    parser = argparse.ArgumentParser()
    add_flags(parser, RunConfig)
    return RunConfig(**values_of(RunConfig, vars(parser.parse_args(arguments))))


def test_flags_have_the_defaults_of_the_fields() -> None:
    assert parsed("--budget-ms", "30") == RunConfig(30.0)
    assert RunConfig(30.0).trials == PRESETS["quick"].trials
    assert parsed("--budget-ms", "30", "--preset", "best").trials == PRESETS["best"].trials


@given(st.sampled_from(sorted(PRESETS)), st.integers(32, 512))
def test_a_step_of_other_crops_has_as_many_pixels(preset: str, crop: int) -> None:
    given_crop, usual = (
        parsed("--budget-ms", "30", "--preset", preset, "--crop", str(crop)),
        RunConfig(30.0, preset=preset),
    )
    assert RunConfig.from_dict(given_crop.to_dict(), "config.json") == given_crop
    parts: tuple[Part, ...] = get_args(Part)
    for part in parts:
        before, now = usual.schedule(part), given_crop.schedule(part)
        if part == "supernet":
            assert now == before
            continue
        assert (now.crop, replace(now, crop=before.crop, batch=before.batch)) == (crop, before)
        pixels, wanted = now.batch * now.crop**2, before.batch * before.crop**2
        assert abs(pixels - wanted) <= now.crop**2 / 2 or now.batch == 2


@pytest.mark.parametrize("crop", ["0", "31", "513"])
def test_crops_that_fit_no_image_are_refused(crop: str) -> None:
    with pytest.raises(InputError, match=rf"^--crop {crop}: give 32 to 512, the longer --input-size$"):
        parsed("--budget-ms", "30", "--crop", crop)


def test_both_spellings_of_the_learning_rate_schedule_count() -> None:
    for flag in ("--schedule", "--lr-schedule"):
        assert parsed("--budget-ms", "30", flag, "poly").lr_schedule == "poly"


def test_the_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = parsed("--budget-ms", "30", "--data", "folder:~/roads", "--weights", "~/start.pt")
    assert (config.data, config.weights) == (f"folder:{tmp_path}/roads", f"{tmp_path}/start.pt")


def test_the_home_folder_is_expanded_in_teachers_and_storages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that are no paths stay as they are."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for text, read in (("~/t.onnx", f"{tmp_path}/t.onnx"), ("largest", "largest"), ("./largest", "./largest")):
        assert DistillOptions(**values_of(DistillOptions, {"teacher": text})).teacher == read
    for text, read in (
        ("journal:~/roads.log", f"journal:{tmp_path}/roads.log"),
        ("sqlite:///~/study.db", f"sqlite:///{tmp_path}/study.db"),
        ("sqlite:///study~.db", "sqlite:///study~.db"),
        ("postgresql://~/name", "postgresql://~/name"),
    ):
        assert SearchFlags(**values_of(SearchFlags, {"storage": text})).storage == read
        monkeypatch.setenv(STORAGE_VARIABLE, text)
        assert storage_url(None, tmp_path) == storage_url(text, tmp_path) == read


configs = st.builds(
    RunConfig,
    budget_ms=st.floats(0.1, 1e4),
    data=st.just("landcover"),
    input_size=st.tuples(st.integers(64, 4096), st.integers(64, 4096)),
    seed=st.integers(0, 2**40),
    preset=st.sampled_from(sorted(PRESETS)),
    lr_schedule=st.sampled_from(["one-cycle", "poly"]),
    ema=st.floats(0, 0.999),
    trials=st.one_of(st.none(), st.integers(1, 10**6)),
    pareto=st.sampled_from(["", "size"]),
    max_size_kib=st.one_of(st.none(), st.floats(1, 1e6)),
    storage=st.sampled_from(["", "journal:runs/roads.log"]),
)


@given(configs)
@settings(max_examples=60, deadline=None)
def test_a_configuration_survives_its_file(config: RunConfig) -> None:
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict())), "config.json") == config


def test_the_file_has_the_layout_of_older_versions(tmp_path: Path) -> None:
    """Search settings stand apart, and the learning rate schedule is called `schedule`."""
    config = RunConfig(30.0, lr_schedule="poly", max_size_kib=1000.0, storage="journal:here")
    write_config(tmp_path, config, FACTS, {"python": "3.11"})
    values = json.loads((tmp_path / "config.json").read_text())
    assert (values["schedule"], values["search"]["max_size_kib"], values["storage"]) == ("poly", 1000.0, "journal:here")
    assert "lr_schedule" not in values
    assert values["fingerprint"] == FACTS["fingerprint"]
    assert read_config(tmp_path) == config


def test_the_runs_of_the_repository_load() -> None:
    published = Path(__file__).parents[1] / "runs" / "camvid"
    config = read_config(published / "scratch")
    assert (config.preset, config.trials, config.max_size_kib, config.storage) == ("best", 80, 1000.0, "")
    assert config.weights == "none"
    config = read_config(published)
    assert (config.budget_ms, config.trials, config.weights) == (22.0, 3, "imagenet")


@pytest.mark.parametrize(
    "damage",
    [
        {"budget_ms": "thirty"},
        {"budget_ms": None},
        {"input_size": [512]},
        {"input_size": ["a", "b"]},
        {"seed": 1.5},
        {"seed": True},
        {"data": 5},
        {"loss": None},
        {"search": {"trials": "many"}},
        {"search": {"trials": 2.5}},
        {"search": {"max_size_kib": "big"}},
        {"search": []},
        {"search": None},
        {"preset": ["quick"]},
        {"ema": []},
        {"crop": 64.5},
        {"crop": "64"},
        {"threads": {}},
        {"storage": 7},
    ],
    ids=str,
)
def test_a_damaged_file_is_one_line(damage: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^config\.json: .*start the run anew$"):
        RunConfig.from_dict({**RunConfig(30.0).to_dict(), **damage}, "config.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"budget_ms": 40.0}, "--budget-ms 30.0"),
        ({"input_size": (64, 128)}, "--input-size 512x512"),
        ({"lr_schedule": "poly"}, "--schedule one-cycle"),
        ({"crop": 256}, "no --crop"),
        ({"max_size_kib": 10.0}, "no --max-size-kib"),
        ({"storage": "journal:here"}, "no --storage"),
    ],
)
def test_another_setting_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    config = RunConfig(30.0)
    write_config(tmp_path, config, FACTS, {})
    check_same(config, tmp_path)
    with pytest.raises(InputError, match=f"was started with {said}; choose another --run"):
        check_same(replace(config, **change), tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train": 5}, "6 training pairs became 5"),
        ({"val": 4}, "3 validation pairs became 4"),
        ({"classes": ["a", "b", "c"]}, "2 classes became 3"),
        ({"classes": ["a", "road"]}, "the classes have other names"),
        ({"bands": {"bands": [4, 3, 2]}}, "images have other bands, depths or value ranges"),
        ({}, "images or masks have other contents or names"),
    ],
)
def test_what_changed_in_the_data_is_said(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    write_config(tmp_path, RunConfig(30.0), FACTS, {})
    check_same_data(tmp_path, "folder:roads", {**FACTS, **change}, same=True)
    with pytest.raises(InputError) as refused:
        check_same_data(tmp_path, "folder:roads", {**FACTS, **change}, same=False)
    assert f"--data folder:roads changed since {tmp_path} was started: {said}; restore the data" in str(refused.value)


def test_equal_data_has_no_changes() -> None:
    assert data_changes(FACTS, FACTS) == []


def test_every_setting_but_the_storage_is_a_flag() -> None:
    assert {field.name for field in fields(RunConfig)} - {field.name for field, _ in flagged(RunConfig)} == {"storage"}
