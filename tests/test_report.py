"""The report: whatever is wrong with a side file or a name, a finished job ends with a page and exit code 0."""

import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from commands import Command
from PIL import Image

import nas.report
from compress.files.atomic import digest
from compress.files.records import read_record, write_json, write_record
from compress.stages.run import open_run
from nas.pages.tables import finalist_rows

FIGURES = "<svg "


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A finished run of one's own: what the report reads."""
    return Path(
        shutil.copytree(
            whole, tmp_path / "runs" / "mine", ignore=shutil.ignore_patterns("trained", "supernet.pt", "teacher.pt")
        )
    )


class Tags(HTMLParser):
    """The tags of a page, and how many are open at its end."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)


def with_data(run: Path, data: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    write_json(run / "config.json", {**config, "data": f"folder:{data}"})


def test_names_of_images_and_classes_may_hold_anything(
    run: Path, folder_data: Path, tmp_path: Path, command: Command
) -> None:
    data = Path(shutil.copytree(folder_data, tmp_path / "<b>$data$ & more"))
    # \udce9 stands for a byte that is not UTF-8
    names = {
        "0.png": "$x^{2$\udce9.png",
        "1.png": r"a$\frac$_<script>.png",
        "2.png": "a_very_long_name_" * 6 + "日本.png",
    }
    for folder in ("images", "masks"):
        for old, new in names.items():
            (data / "val" / folder / old).rename(data / "val" / folder / new)
    (data / "classes.txt").write_text("a<script>alert(1)</script>\n$y$\n&'\n")
    with_data(run, data)
    code, _, err = command(nas.report.main, run)
    page = (run / "report.html").read_text("utf-8")
    assert code == 0, err
    assert "cannot be shown" not in page + err
    assert page.count(FIGURES) == 3 and page.count("data:image/jpeg;base64,") == 3
    assert "script" not in Tags(page).seen and "folder" not in Tags(page).seen
    assert "<b>$data$" not in page and "&lt;b&gt;$data$ &amp; more" in page
    assert "$x^{2$\ufffd, mIoU" in page
    assert "日本</b>" not in page and "日本, mIoU" in page
    assert "a&lt;script&gt;alert(1)&lt;/script&gt;" in page and "$y$" in page


def test_finalists_have_a_column_for_each_comparison(run: Path) -> None:
    """Also those of older versions, which compared finalists otherwise, and those that were over the budget."""
    file = run / "search" / "finalists.json"
    one = {"miou": 0.25, "latency_ms": 2.0, "predicted_latency_ms": 1.5}
    shared = ("latency, ms", "predicted, ms")
    write_json(
        file,
        [
            {**one, "id": "a", "known": "compact", "mious": {"80": 0.5}},
            {**one, "id": "b", "macs": 1_000, "mious": {"80": 0.375, "200": 0.5, "end": 0.625}},
            {**one, "id": "c", "mious": {}},
        ],
    )
    assert finalist_rows(open_run(run)) == [
        ("genotype", "mIoU, as a candidate", "after 80 steps", "after 200 steps", "at the end", "MACs", *shared),
        ("a, compact", "0.2500", "0.5000", "", "", "", "2.00", "1.50"),
        ("b", "0.2500", "0.3750", "0.5000", "0.6250", "1,000", "2.00", "1.50"),
        ("c", "0.2500", "over the budget", "", "", "", "2.00", "1.50"),
    ]
    write_json(file, [{**one, "id": "a", "refined_miou": 0.5}, {**one, "id": "b"}])
    assert finalist_rows(open_run(run)) == [
        ("genotype", "mIoU, as a candidate", "refined", "MACs", *shared),
        ("a", "0.2500", "0.5000", "", "2.00", "1.50"),
        ("b", "0.2500", "over the budget", "", "2.00", "1.50"),
    ]
    for content in ([{**one, "id": "a"}], []):
        write_json(file, content)
        assert len({len(row) for row in finalist_rows(open_run(run))}) <= 1


def no_data(run: Path) -> None:
    with_data(run, run / "gone")


def broken_image(run: Path) -> None:
    data = Path(shutil.copytree(json.loads((run / "config.json").read_text())["data"].split(":")[1], run / "data"))
    Image.new("RGB", (5, 5)).save(data / "val" / "images" / "1.png")
    with_data(run, data)


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda run: (run / name).write_bytes(content) and None


DAMAGES: dict[str, tuple[Callable[[Path], None], str, int]] = {
    "search.jsonl is empty lines": (write("search.jsonl", b"{}\n"), "candidates", 2),
    "search.jsonl is not JSON": (write("search.jsonl", b"\xff\xfe"), "candidates", 2),
    "search.jsonl is gone": (lambda run: (run / "search.jsonl").unlink(), "candidates", 2),
    "finalists are a number": (write("search/finalists.json", b"5"), "finalists", 3),
    "finalists lack figures": (write("search/finalists.json", b'[{"id": "<b>"}]'), "finalists", 3),
    "accelerators are a number": (write("accelerators.json", b"5"), "accelerators", 3),
    "a log is a text": (write("train/log.csv", b"step,loss\n1,x\n"), "training logs", 1),
    "a log is bytes": (write("search/log.csv", b"\xff\x00"), "training logs", 1),
    "the data is gone": (no_data, "evaluation of model.tflite", 3),
    "an image fits no mask": (broken_image, "evaluation of model.tflite", 3),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_part_that_cannot_be_drawn_is_a_line(run: Path, command: Command, kind: str) -> None:
    damage, part, figures = DAMAGES[kind]
    damage(run)
    code, out, err = command(nas.report.main, run)
    page = (run / "report.html").read_text()
    assert (code, out.strip()) == (0, str(run / "report.html"))
    assert f"report: the {part} cannot be shown: " in err and "Traceback" not in err
    assert page.count("This part cannot be shown: ") == 1
    assert page.count(FIGURES) == figures
    assert "<b>" not in err and "<td><b>" not in page


@pytest.mark.parametrize(
    ("strategy", "said"),
    [("supernet", "scored as int8 files"), ("probe", "by a linear classifier on what they inherit")],
)
def test_the_page_says_how_candidates_were_scored(run: Path, command: Command, strategy: str, said: str) -> None:
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "search": {**config["search"], "strategy": strategy}}))
    code, _, err = command(nas.report.main, run)
    assert code == 0, err
    assert said in " ".join((run / "report.html").read_text().split())


def test_figures_of_the_search_that_are_lost_are_null(run: Path, command: Command) -> None:
    before = read_record(run / "result.json", "")
    (run / "search" / "search.json").write_bytes(b'{"trials": "many"}')
    code, _, err = command(nas.report.main, run)
    after = read_record(run / "result.json", "")
    assert code == 0 and "search.json lacks trials, refused, wall_s, supernet_s as numbers" in err
    assert after["search"] == {"trials": None, "refused": None, "wall_s": None, "supernet_s": None}
    assert {**after, "search": 0, "model": 0} == {**before, "search": 0, "model": 0}


def test_a_stage_without_a_figure_is_one_line(run: Path, command: Command) -> None:
    path = run / "export" / "metrics.json"
    metrics = read_record(path, "")
    write_json(path, {**metrics, "latency_ms": None})
    code, _, err = command(nas.report.main, run)
    assert code == 2
    assert err.splitlines() == [f"{path}: latency_ms must not be None; run python -m compress.export {run} again"]


def test_a_stage_record_changed_by_hand_is_one_line(run: Path, command: Command) -> None:
    path = run / "train" / "metrics.json"
    write_record(path, read_record(path, ""))
    path.write_text(path.read_text().replace('"params": ', '"params": 1'))
    code, _, err = command(nas.report.main, run)
    assert code == 2
    assert err.startswith(f"{path} does not fit its checksum") and f"compress.train {run} again" in err


def test_a_run_of_an_older_version_has_a_page_without_the_new_figures(run: Path, command: Command) -> None:
    path = run / "export" / "metrics.json"
    newer = ("cold_start_ms", "arena_bytes", "file_bytes", "classes", "latency_p90_ms")
    write_record(path, {name: value for name, value in read_record(path, "").items() if name not in newer})
    (run / "study.db").unlink()
    code, _, err = command(nas.report.main, run)
    page = (run / "report.html").read_text("utf-8")
    assert code == 0, err
    assert "cannot be shown" not in page + err
    assert "<dt>latency p50<dd>" in page and "<dt>file<dd>" in page and page.count(FIGURES) == 3
    new = ("cold start", "Cold start", "<dt>arena", "The arena is", "p90<dd>", "Exported files", "optuna-dashboard")
    for absent in new:
        assert absent not in page


def test_the_page_shows_what_export_recorded(run: Path, command: Command) -> None:
    exported = read_record(run / "export" / "metrics.json", "")
    code, _, _ = command(nas.report.main, run)
    page = (run / "report.html").read_text()
    assert code == 0
    assert f"<dt>cold start<dd>{exported['cold_start_ms']:.1f} ms" in page
    assert f"<dt>arena<dd>{exported['arena_bytes'] / 1024:.0f} KiB" in page
    assert f"<td>model.onnx<td>{exported['file_bytes']['model.onnx'] / 1024:.0f}<td>" in page
    assert f"{exported['uint8_agreement']:.2%} of the pixels as model.tflite" in page
    assert all(f"<td>{figures['share'] * 100:.1f} %" in page for figures in exported["classes"].values())
    assert "<td>XNNPACK (CPU)<td>" in page and "1 ARG_MAX" in page
    # finalists, stages, files, accelerators and classes scroll by themselves
    assert page.count('<div class="wide') == 5


def test_the_page_shows_the_last_table_of_accelerators(run: Path, command: Command) -> None:
    """But not one of another model.tflite."""
    one = {"accelerator": "Some <NPU>", "source": "compiled here", "left": {"MEAN": 1}, "parts": 2}
    for digests, shown in ((digest(run / "model.tflite"), True), ("another", False)):
        write_json(run / "accelerators.json", {"digest": digests, "accelerators": [one]})
        code, _, err = command(nas.report.main, run)
        assert code == 0, err
        assert ("<td>Some &lt;NPU&gt;<td>" in (run / "report.html").read_text()) is shown
