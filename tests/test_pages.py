"""The pages of runs: figures, pictures, the comparison of runs, the way to Optuna's dashboard."""

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from wsgiref.util import setup_testing_defaults
from xml.etree import ElementTree

import numpy as np
import optuna
import pytest
import torch
from commands import Command
from hypothesis import given
from hypothesis import strategies as st

import nas.report
from compress.data.validation import Validation
from compress.files.records import read_record, write_json, write_record
from nas.pages.dashboard import dashboard_command
from nas.pages.figures import Cloud, comparison_figure, run_colour, scatter_figure
from nas.pages.pictures import image_mious, worst_images
from nas.pages.svg import HEX, WIDTH, inline_svg, new_axes, new_figure
from nas.pages.tables import file_rows, phone_figures
from nas.storages import open_storage

POINTS = st.lists(st.tuples(st.floats(0.1, 90), st.floats(0, 1)), max_size=8).map(sorted)


@given(POINTS)
def test_nothing_faster_is_as_accurate_as_a_point_of_the_front(scored: list[tuple[float, float]]) -> None:
    front = Cloud(scored, (1.0, 0.5), 30).front
    assert bool(front) == bool(scored)
    assert [miou for _, miou in front] == sorted({miou for _, miou in front})
    assert all(any(ms <= other and miou >= least for ms, miou in front) for other, least in scored)


@pytest.mark.parametrize("scored", [[], [(3.0, 0.2)], [(1.0, 0.2), (2.0, 0.1), (40.0, 0.6)]])
def test_figures_are_well_formed_and_bring_nothing_that_acts(scored: list[tuple[float, float]]) -> None:
    clouds = [Cloud(scored, (31.0, 0.5), 30), Cloud(scored, (9.0, math.nan), 10)]
    assert scatter_figure(clouds[0]) == scatter_figure(clouds[0])
    for svg in (scatter_figure(clouds[0]), comparison_figure(clouds)):
        root = ElementTree.fromstring(svg)
        assert root.attrib["viewBox"].startswith(f"0 0 {WIDTH} ") and "width" not in root.attrib
        assert not {"script", "style", "image", "a", "foreignObject"} & {one.tag for one in root.iter()}
        assert "latency, ms" in [one.text for one in root.iter("text")]
        assert all(one.startswith("#") for node in root.iter() if (one := node.attrib.get("href")))


def test_ids_of_two_figures_of_a_page_differ() -> None:
    figures = [ElementTree.fromstring(inline_svg(new_figure(100), name, "nothing")) for name in ("one", "two")]
    first, second = ({node.attrib["id"] for node in one.iter() if "id" in node.attrib} for one in figures)
    assert first and not first & second


def test_words_and_colours_of_a_figure() -> None:
    figure = new_figure(100)
    new_axes(figure, "a<b & c", "").plot([0, 1], color=HEX["blue"])
    svg = inline_svg(figure, "one", 'of "x" <script>')
    assert ElementTree.fromstring(svg).attrib["aria-label"] == 'of "x" <script>'
    assert "a&lt;b &amp; c" in svg and "stroke: var(--blue)" in svg and HEX["blue"] not in svg


def test_the_worst_images_are_those_of_lowest_miou() -> None:
    assert worst_images([0.5, math.nan, 0.1, 0.3], 2) == [2, 3]
    assert worst_images([math.nan], 2) == []
    masks = torch.tensor([[[0, 0], [1, 1]], [[255, 255], [255, 255]]], dtype=torch.uint8)
    validation = Validation(torch.zeros(2, 3, 2, 2, dtype=torch.uint8), masks)
    maps = [np.array([[0, 0], [0, 1]], np.uint8)] * 2
    right, void = image_mious(maps, validation, 2)
    assert right == pytest.approx((2 / 3 + 1 / 2) / 2) and math.isnan(void)


def test_figures_that_were_not_recorded_are_left_out() -> None:
    assert phone_figures({"latency_ms": 1.234, "size_bytes": 2048}) == [("latency p50", "1.23 ms"), ("file", "2 KiB")]
    assert file_rows({"size_bytes": 2048}) == []
    (row,) = file_rows({"file_bytes": {"model.onnx": 1024, "model.json": 5}, "onnx_agreement_with_torch": 0.999})
    assert row[:2] == ("model.onnx", "1") and row[-1] == "99.90% of the pixels as the torch network"


@pytest.fixture
def pair(whole: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A finished run, and one of an older version with another target and a name that must be escaped."""
    older = tmp_path / "<i>older$ &"
    keep = shutil.ignore_patterns("trained", "supernet.pt", "teacher.pt")
    shutil.copytree(whole, older, ignore=keep)
    path = older / "export" / "metrics.json"
    newer = ("cold_start_ms", "arena_bytes", "file_bytes", "classes")
    write_record(path, {name: value for name, value in read_record(path, "").items() if name not in newer})
    config = json.loads((older / "config.json").read_text())
    write_json(older / "config.json", {**config, "target": "ssh:me@board"})
    return whole, older


def test_runs_side_by_side(pair: tuple[Path, Path], tmp_path: Path, command: Command) -> None:
    whole, older = pair
    before = {path: path.stat().st_mtime_ns for run in pair for path in run.rglob("*") if path.is_file()}
    out = tmp_path / "new" / "both.html"
    code, said, err = command(nas.report.main, whole, older, "--out", out)
    page = out.read_text()
    assert (code, said.strip(), err) == (0, str(out), "")
    assert before == {path: path.stat().st_mtime_ns for path in before}
    exported = read_record(whole / "export" / "metrics.json", "")
    assert "<i>older" not in page and "&lt;i&gt;older$ &amp;" in page
    assert page.count("<svg ") == 1 and "cannot be shown" not in page
    assert f"<td>cold start, ms<td>{exported['cold_start_ms']:.1f}<td>–" in page
    assert f"<td>mIoU<td>{exported['miou']:.4f}<td>{exported['miou']:.4f}" in page
    for name, figures in exported["classes"].items():
        assert f"<td>{name}<td>{figures['iou']:.3f}<td>–" in page
    assert "differ in target" in page and "differ in data" not in page


def test_a_comparison_goes_on_without_the_candidates_of_a_run(pair: tuple[Path, Path], command: Command) -> None:
    whole, older = pair
    (older / "search.jsonl").write_bytes(b"\xff")
    code, said, err = command(nas.report.main, whole, older)
    assert (code, said.strip()) == (0, "runs/compare.html")
    assert "report: the candidates of " in err and Path("runs/compare.html").read_text().count("<svg ") == 1


def test_what_cannot_be_compared_is_one_line(pair: tuple[Path, Path], tmp_path: Path, command: Command) -> None:
    whole, older = pair
    (older / "export" / "metrics.json").unlink()
    (tmp_path / "file").write_text("")
    refused = [
        ((whole, older), f"export is missing or half-written; run python -m compress.export {older} first"),
        ((whole, whole), "the run is given twice"),
        ((whole, tmp_path / "nowhere"), "there is no such run folder"),
        ((whole, "--out", tmp_path / "page.html"), "give two or more runs to compare"),
        ((whole, older, "--out", tmp_path), "this is a folder"),
    ]
    for arguments, expected in refused:
        code, _, err = command(nas.report.main, *arguments)
        assert (code, expected in err, len(err.splitlines())) == (2, True, 1), err


def test_a_page_that_cannot_be_written_is_one_line(pair: tuple[Path, Path], tmp_path: Path, command: Command) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = command(nas.report.main, *pair, "--out", tmp_path / "file" / "page.html")
    assert (code, "page.html cannot be written" in err, len(err.splitlines())) == (2, True, 1), err


def test_colours_of_runs_repeat() -> None:
    assert run_colour(1) == run_colour(9) != run_colour(2)


def dashboard_of(storage: str, folder: Path) -> str:
    run: Any = SimpleNamespace(path=folder, config=SimpleNamespace(storage=storage))
    return dashboard_command(run)


def test_the_command_of_the_dashboard(tmp_path: Path) -> None:
    folder = tmp_path / "my run"
    folder.mkdir()
    assert dashboard_of("", folder) == ""
    (folder / "study.db").write_bytes(b"")
    assert dashboard_of("", folder) == f"optuna-dashboard 'sqlite:///{folder}/study.db'"
    assert dashboard_of("grpc://host:13000", folder) == ""
    assert dashboard_of("postgresql://me:secret@host/db", folder) == (
        "optuna-dashboard 'postgresql+psycopg://me:***@host/db'"
    )


@pytest.mark.parametrize("kind", ["sqlite:///{}", "journal:{}"])
def test_the_dashboard_lists_the_study(kind: str, tmp_path: Path) -> None:
    """The file that the page names is opened as the command does, and asked over WSGI for its studies."""
    pytest.importorskip("optuna_dashboard")
    from optuna_dashboard import wsgi
    from optuna_dashboard._storage_url import get_storage

    url = kind.format(tmp_path / "study of mine")
    study = optuna.create_study(storage=open_storage(url), study_name="roads", direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    _, file = dashboard_of(url, tmp_path).split(" ", 1)
    app = wsgi(get_storage(file.strip("'")))
    asked: dict[str, Any] = {"PATH_INFO": "/api/studies"}
    setup_testing_defaults(asked)
    answered: list[str] = []
    body = b"".join(app(asked, lambda status, *_: answered.append(status)))
    assert answered == ["200 OK"]
    assert [one["study_name"] for one in json.loads(body)["study_summaries"]] == ["roads"]
