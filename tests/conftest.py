"""Tiny data and nets that every test may use."""

import os
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import Command, flags
from hypothesis import HealthCheck, settings
from made_data import CLASSES, coloured
from own_share import made_once, take_own_cores
from PIL import Image
from small_studies import problem
from stage_runs import SIDE, hasten_tables, run_without_noise, timed_by_size

import nas.search
from compress.files.records import write_json
from compress.files.tensors import save_network
from compress.latency import builder as table_builder
from compress.latency.spec import TableSpec
from compress.latency.targets import HostTarget
from compress.stages.cli import run_command
from compress.stages.config import RunConfig
from compress.stages.export import export
from compress.stages.fitting import fit_network
from compress.stages.quantize import quantize
from compress.stages.run import Run
from compress.tflite.writer import INT8
from compress.training.schedule import Schedule
from nas.feasibility import Survey, survey_space
from search_spaces import get_space
from search_spaces.genotype import Genotype, Stage
from search_spaces.network import Network
from search_spaces.trials import RandomTrial

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
take_own_cores()
# neither a busy machine nor the day's random examples may fail a test
settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")
UNIT_BYTES = 1e6  # of a .tflite file, which a table without noise gives a millisecond


def random_genotype(seed: int, side: int = 128, classes: int = CLASSES, space: str = "deeplabv3plus") -> Genotype:
    return get_space(space).sample(RandomTrial(random.Random(seed)), classes, (side, side))


def every_tap(network: Network) -> Network:
    """Random weights everywhere: a new network's atrous kernels have their centre taps alone."""
    for layer in network.layers.values():
        layer.get_submodule("conv").reset_parameters()
    return network


@pytest.fixture(scope="session")
def tiny() -> Genotype:
    """Every kind of op, few channels."""
    return Genotype(
        space="deeplabv3plus",
        classes=CLASSES,
        resolution=(64, 96),
        stem=8,
        stages=(
            Stage(8, 3, (16,)),
            Stage(16, 5, (16, 24)),
            Stage(24, 3, (32, 48)),
            Stage(32, 3, (48,)),
            Stage(40, 5, (64,)),
        ),
        output_stride=16,
        aspp_rates=(2, 6),
        image_pooling=True,
        aspp_widths=(16, 24, 16, 32),
        aspp_out=24,
        low_level=8,
        decoder=(16, 24),
        head_stride=2,
    )


def tiny_of(space: str) -> Genotype:
    """The least of a space that has every kind of op it can have."""
    stages = (
        Stage(8, 3, (16,)),
        Stage(16, 5, (16, 24), swish=True),
        Stage(24, 3, (32, 48), squeeze=(8, 16)),
        Stage(32, 3, (48,), swish=True, squeeze=(16,)),
        Stage(40, 5, (64,)),
    )
    heads: dict[str, dict[str, Any]] = {
        "deeplabv1": {"aspp_1x1": False, "aspp_rates": (6,), "aspp_widths": (24,), "aspp_out": 16, "separable": False},
        "deeplabv2": {"aspp_1x1": False, "aspp_rates": (2, 4, 8), "aspp_widths": (16, 24, 16)},
        "deeplabv3": {"aspp_rates": (2, 6), "aspp_widths": (16, 24, 16), "aspp_out": 24, "separable": False},
        "deeplabv3plus": {"aspp_widths": (16,), "aspp_out": 24, "low_level": 8, "decoder": (16,), "separable": False},
        "lraspp": {"aspp_widths": (32,)},
    }
    without = {"aspp_rates": (), "image_pooling": False, "aspp_out": 0, "low_level": 0, "decoder": ()}
    return Genotype(
        space=space,
        classes=CLASSES,
        resolution=(64, 96),
        stem=8,
        stages=stages,
        output_stride=8 if space == "deeplabv1" else 16,
        head_stride=2,
        **{**without, **heads[space]},
    )


def seven_stages(genotype: Genotype) -> Genotype:
    """The same head behind a backbone of seven stages, which is what spaces have today."""
    swish, squeeze = genotype.stages[1].swish, bool(genotype.stages[2].squeeze)
    stages = (
        Stage(8, 3, (8,), swish=swish),
        Stage(16, 3, (24, 32), squeeze=(8, 8) if squeeze else ()),
        Stage(16, 5, (32, 48), swish=swish),
        Stage(24, 3, (32, 48)),
        Stage(24, 5, (48,)),
        Stage(32, 5, (48, 64)),
        Stage(40, 3, (64,)),
    )
    return replace(genotype, stages=stages)


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is kept under runs/ is kept here."""
    folder = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def folder_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder data set whose class is written in the colours, so a network can learn it."""
    return made_once(tmp_path_factory, "data", lambda folder: make_shapes(folder / "shapes")) / "shapes"


def make_shapes(root: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 3)):
        (root / split / "images").mkdir(parents=True)
        (root / split / "masks").mkdir()
        for i in range(count):
            mask = np.kron(rng.integers(0, CLASSES, (4, 4)), np.ones((24, 24))).astype(np.uint8)
            image = coloured(mask)
            mask[:2] = 255
            Image.fromarray(image).save(root / split / "images" / f"{i}.png")
            Image.fromarray(mask).save(root / split / "masks" / f"{i}.png")
    (root / "classes.txt").write_text("".join(f"class{i}\n" for i in range(CLASSES)))


@pytest.fixture(scope="session")
def host_wanted() -> TableSpec:
    return TableSpec(get_space("deeplabv3plus"), CLASSES, (64, 64), INT8, HostTarget())


@pytest.fixture(scope="session")
def host_table(tmp_path_factory: pytest.TempPathFactory, host_wanted: TableSpec) -> Path:
    folder = made_once(tmp_path_factory, "latency", lambda folder: brief_table(host_wanted, folder / "table.json"))
    return folder / "table.json"


def brief_table(wanted: TableSpec, path: Path) -> Path:
    """A table of this machine in which every op takes a time by its size: it is the same whatever else is running."""
    with pytest.MonkeyPatch.context() as patch:
        hasten_tables(patch.setattr)
        patch.setattr(HostTarget, "time", lambda target, models, seconds: timed_by_size(models, UNIT_BYTES))
        patch.setattr(HostTarget, "fastest_reference_ms", lambda target: 1.0)
        table_builder.build(wanted, path)
    return path


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


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, folder_data: Path, host_table: Path) -> Path:
    """A folder with `runs/whole`, a finished run."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["nas.search", *map(str, flags(folder_data, host_table))])
            run_command(nas.search.main)
        assert ended.value.code in (0, None)

    return made_once(tmp_path_factory, "finished", make)


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workplace")


@pytest.fixture
def here(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(workplace)
    return workplace


@pytest.fixture
def whole(here: Path, finished: Path) -> Path:
    """A finished run in this process's own runs/."""
    path = here / "runs" / "whole"
    if not path.exists():
        shutil.copytree(finished / "runs" / "whole", path)
    return path


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    """A finished run of its own, to damage."""
    return Path(shutil.copytree(whole, tmp_path / "copied"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, folder_data: Path, host_table: Path, tiny: Genotype) -> Path:
    """A run folder whose network knows its data, as if every stage up to distillation had left it alone."""

    def make(path: Path) -> None:
        config = RunConfig(budget_ms=50, data=f"folder:{folder_data}", input_size=(SIDE, SIDE), preset="toy")
        write_json(path / "config.json", config.to_dict())
        shutil.copyfile(host_table, path / "table.json")
        torch.manual_seed(0)
        network = Network(replace(tiny, resolution=(SIDE, SIDE)))
        fit_network(Run(path, config), network, Schedule(80, 4, SIDE), path, "test", seed=0)
        for stage in ("train", "prune", "distill"):
            save_network(network, path / stage / "network.pt")

    return made_once(tmp_path_factory, "trained", make)


@pytest.fixture(scope="session")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run folder after the last two stages."""

    def make(path: Path) -> None:
        run = run_without_noise(Path(shutil.copytree(trained, path, dirs_exist_ok=True)))
        write_json(run.path / "genotype.json", run.network("distill").genotype.to_dict())
        quantize(run)
        export(run)

    return made_once(tmp_path_factory, "exported", make)


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Run:
    return run_without_noise(Path(shutil.copytree(trained, tmp_path / "run")))


@pytest.fixture(scope="session")
def surveyed() -> Survey:
    return survey_space(problem(), 0)
