"""Annotation files that people, accidents or other programs have damaged are read or refused in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_annotations
import made_exports
import pytest
from mutations import BYTES, JSON, TEXT, Mutation
from test_mutations import TIMES, Case, check

from compress.data.annotations import LISTING
from compress.data.dataset import open_data
from compress.files.atomic import RUNS
from compress.files.records import read_record, write_json

TRIES = 40


def data_of(path: Path) -> Any:
    """What is read of a data set whose folder is one of the file's two next ones."""
    root = next(at for at in path.parents if at.name.startswith("data set"))
    data = open_data(f"{root.name.split()[-1]}:{root}")
    return (
        data.classes,
        data.notes,
        [pair.image for pair in data.train],
        [pair.image for pair in data.val],
        data.content,
    )


def file_of(make: Callable[[Path], Any], name: str) -> Callable[[Path], Path]:
    """Writes a data set; returns one of its files."""

    def written(folder: Path) -> Path:
        root = folder / f"data set {make.__name__.split('_')[0]}"
        root.mkdir()
        make(root)
        return root / name

    return written


def listing_file(folder: Path) -> Path:
    """The listing of masks that are drawn already, without its checksum."""
    file_of(made_annotations.coco, "")(Path.cwd())
    (file,) = (RUNS / "data").glob(f"masks-*/{LISTING}")
    write_json(file, read_record(file, ""))
    return file


def drawn_data(path: Path) -> Any:
    return data_of(Path.cwd() / "data set coco" / "any")


def case(make: Callable[[Path], Any], name: str, mutations: tuple[Mutation, ...]) -> Case:
    return Case(file_of(make, name), mutations, data_of, TRIES)


CASES = {
    "instances_train2017.json": case(made_annotations.coco, "annotations/instances_train2017.json", JSON),
    "instances_val2017.json": case(made_annotations.coco, "annotations/instances_val2017.json", JSON),
    "a .json of LabelMe": case(made_annotations.labelme, "train/0.json", JSON),
    "a .txt of YOLO": case(made_annotations.yolo, "train/labels/0.txt", TEXT),
    "data.yaml": case(made_annotations.yolo, "data.yaml", TEXT),
    "labelmap.txt": case(made_exports.cvat, "labelmap.txt", TEXT),
    "a list of CVAT": case(made_exports.cvat, "ImageSets/Segmentation/train.txt", TEXT),
    "a .parquet file": case(made_exports.parquet, "data/validation-00000-of-00001.parquet", BYTES),
    "_classes.csv": case(made_exports.roboflow, "train/_classes.csv", TEXT),
    LISTING: Case(listing_file, JSON, drawn_data, TRIES),
}


@pytest.mark.parametrize("name", CASES)
def test_a_damaged_annotation_is_read_or_refused_in_one_line(name: str, tmp_path: Path, elsewhere: Path) -> None:
    one = CASES[name]
    assert callable(one.file)
    check(one, one.file(tmp_path), one.tries, name)


def test_masks_are_drawn_anew_where_their_listing_is_damaged(
    tmp_path: Path, elsewhere: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = listing_file(tmp_path)
    expected, listing = drawn_data(file), json.loads(file.read_text())
    (mask, *_) = (file.parent / "train").iterdir()
    drawn = mask.read_bytes()
    without_pair = {**listing, "splits": {**listing["splits"], "train": listing["splits"]["train"][1:]}}
    for damage in (b"", b"[]", json.dumps({**listing, "names": "ab"}).encode(), json.dumps(without_pair).encode()):
        file.write_bytes(damage)
        mask.unlink()
        capfd.readouterr()
        assert drawn_data(file) == expected
        assert mask.read_bytes() == drawn
        assert f"{file} is damaged; the masks are drawn anew\n" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_many_more_damages_of_annotations(name: str, tmp_path: Path, elsewhere: Path) -> None:
    one = CASES[name]
    assert callable(one.file)
    check(one, one.file(tmp_path), one.tries * TIMES, f"{name} long")
