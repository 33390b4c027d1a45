"""Masks drawn from outlines and runs of pixels: which pixels they cover, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import made_annotations
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_annotations import corners, shape
from made_data import SIZE, save
from PIL import Image
from pycocotools import mask as coco_mask

from compress.data.check import check
from compress.data.dataset import IGNORE, open_data, read_pair
from compress.data.regions import Region, draw_regions, region_of_bitmap, region_of_outlines, region_of_runs
from search_spaces.errors import DataError, InputError

pytestmark = pytest.mark.usefixtures("elsewhere")


def box(value: int, left: int, top: int, right: int, bottom: int) -> Region:
    region = region_of_outlines(value, [corners(left, top, right, bottom)], SIZE)
    assert region is not None
    return region


def test_of_regions_that_overlap_the_smaller_lies_on_top() -> None:
    """Whatever their order. Of equal areas the later one lies on top."""
    large, small, equal = box(1, 4, 4, 30, 30), box(2, 8, 8, 16, 16), box(3, 12, 8, 20, 16)
    for order in ([large, small], [small, large]):
        mask = draw_regions(order, SIZE)
        assert (mask[8:16, 8:16] == 2).all()
        assert (mask == 1).sum() == 26 * 26 - 64
    assert (draw_regions([small, equal], SIZE) == 3).sum() == 64
    assert (draw_regions([equal, small], SIZE) == 2).sum() == 64


def test_a_crowd_is_void_below_all_objects() -> None:
    crowd = Region(2, box(2, 10, 10, 14, 14).lengths, crowd=True)
    mask = draw_regions([box(1, 0, 0, 12, 40), crowd], SIZE)
    assert (mask[10:14, 10:12] == 1).all()
    assert (mask == IGNORE).sum() == 8


def test_a_region_is_all_of_its_outlines() -> None:
    region = region_of_outlines(1, [corners(0, 0, 4, 4), corners(2, 2, 6, 6), [1, 1, 2, 2]], SIZE)
    assert region is not None
    assert draw_regions([region], SIZE).sum() == 16 + 16 - 4
    assert region_of_outlines(1, [[1, 1, 2, 2], []], SIZE) is None
    outside = region_of_outlines(1, [corners(-20, -20, 500, 4)], SIZE)
    assert outside is not None
    assert draw_regions([outside], SIZE)[:4].all()


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_runs_are_read_as_pycocotools_writes_them(seed: int, share: float) -> None:
    truth = (np.random.default_rng(seed).random(SIZE) < share).astype(np.uint8)
    packed = coco_mask.encode(np.asfortranarray(truth))
    text = packed["counts"].decode()
    np.testing.assert_array_equal(draw_regions([region_of_runs(1, text, list(SIZE), SIZE)], SIZE), truth)
    np.testing.assert_array_equal(draw_regions([region_of_bitmap(1, truth, (0, 0), SIZE)], SIZE), truth)


@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=20))
def test_damaged_runs_are_refused(text: str) -> None:
    """pycocotools would read what is not there, or leave pixels as memory has them."""
    try:
        region = region_of_runs(1, text, list(SIZE), SIZE)
    except ValueError:
        return
    assert set(np.unique(draw_regions([region], SIZE))) <= {0, 1}


@pytest.mark.parametrize(
    ("outline", "said"),
    [
        ([1, 2, 3, 4, 5], "no list of x and y"),
        ([1, 2, 3, 4, float("nan"), 6], "no list of x and y"),
        ([0, 0, 1e6, 0, 1e6, 10], "a point lies at 1e\\+06, far outside of the image of 48x40"),
        (["a", 1, 2, 3, 4, 5], "no list of numbers"),
        ([[1, 2], [3]], "no list of numbers"),
        ([[0, 0], [400, 400]] * 4000, "longer than 2,000,000 pixels"),
    ],
)
def test_an_outline_without_sense_is_refused(outline: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        region_of_outlines(1, [outline], SIZE)


@pytest.fixture
def task(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A file of COCO's form, and its content to change."""
    made_annotations.coco_file(tmp_path)
    path = tmp_path / "annotations/instances_default.json"
    return path, json.loads(path.read_text())


def test_classes_of_coco(task: tuple[Path, dict[str, Any]]) -> None:
    """They follow the ids; a category `background` is what no region covers."""
    path, value = task
    assert open_data(f"coco:{path}").classes == ("background", "car", "traffic light")
    value["categories"] = [{"id": 7, "name": "zebra"}, {"id": 12, "name": "Background"}, {"id": 1, "name": "rail"}]
    path.write_text(json.dumps(value))
    data = open_data(f"coco:{path}")
    assert data.classes == ("background", "rail", "zebra")
    assert data.class_counts[1] == 0


def test_annotations_without_an_outline_are_counted(task, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    path, value = task
    value["annotations"][1]["segmentation"] = []
    del value["annotations"][2]["segmentation"]
    path.write_text(json.dumps(value))
    check(open_data(f"coco:{path}"))
    line = f"{path}: 2 of {len(value['annotations'])} annotations have no outline and are left out"
    assert f"note: --data coco:{path}: {line}\n" in capsys.readouterr().err
    for annotation in value["annotations"]:
        annotation["segmentation"] = []
    path.write_text(json.dumps(value))
    with pytest.raises(InputError, match="no annotation has an outline, and boxes are no masks"):
        open_data(f"coco:{path}")


def test_every_wrong_annotation_is_listed(task) -> None:  # type: ignore[no-untyped-def]
    path, value = task
    first, *_ = own = [one for one in value["annotations"] if one["image_id"] == 10]
    first["segmentation"]["counts"] = first["segmentation"]["counts"][:-1]
    others = [one for one in value["annotations"] if one["image_id"] == 11]
    others[1]["segmentation"] = [[1, 2, 3, 4, 5, 6, 7]]
    value["images"][2]["width"] = 47
    path.write_text(json.dumps(value))
    with pytest.raises(DataError) as caught:
        open_data(f"coco:{path}")
    head, *lines = caught.value.lines
    assert head == f"--data coco:{path}: 3 wrong files"
    for line, said in zip(
        lines,
        (
            f"{path}: annotation {own[0]['id']} of 0.jpg: its runs",
            f"{path}: annotation {others[1]['id']} of 1.jpg: an outline is no list of x and y; mend or remove it",
            f"{path}: 2.jpg is 47x40 there, but the file is 48x40; put the images there that were annotated",
        ),
        strict=True,
    ):
        assert line.startswith(said), line


def test_an_image_that_is_not_there_is_named_and_one_that_is_not_named_is_counted(task) -> None:  # type: ignore[no-untyped-def]
    path, _ = task
    images = path.parent.parent / "images"
    shutil.copy(images / "0.jpg", images / "new.jpg")
    (images / "1.jpg").unlink()
    data = open_data(f"coco:{path}")
    assert [str(group) for group in data.left_out] == [
        f"images that the annotations do not name: 1 ({'/'.join((images / 'new.jpg').parts[-3:])})"
    ]
    with pytest.raises(DataError) as caught:
        check(data)
    assert len(caught.value.lines) == 2
    assert "images/1.jpg: the file is missing" in caught.value.lines[1]
    save(np.asarray(Image.open(images / "0.jpg"))[::-1].copy(), images / "1.jpg")
    check(open_data(f"coco:{path}"))


def test_masks_are_drawn_once(task, elsewhere: Path) -> None:  # type: ignore[no-untyped-def]
    path, value = task
    before = {mask: mask.stat().st_mtime_ns for mask in elsewhere.rglob("*.png")}
    assert open_data(f"coco:{path}", seed=1).val != open_data(f"coco:{path}").val
    assert before == {mask: mask.stat().st_mtime_ns for mask in elsewhere.rglob("*.png")}
    value["annotations"].pop()
    path.write_text(json.dumps(value))
    open_data(f"coco:{path}")
    assert len([*elsewhere.rglob("*.png")]) == 2 * len(before)


def test_files_of_coco_that_are_not_clear_are_said(tmp_path: Path) -> None:
    made_annotations.coco(tmp_path)
    for name in ("instances_train2014.json", "instances_train2017.json"):
        (tmp_path / "annotations" / name).write_text('{"images": []}')
    with pytest.raises(InputError, match=r"has 3 annotation files .* give one, as coco:FILE, or one with train in its"):
        open_data(f"coco:{tmp_path}")
    (tmp_path / "annotations/instances_train2014.json").unlink()
    with pytest.raises(InputError, match=r"instances_train2017.json: it has no list 'categories'; export the"):
        open_data(f"coco:{tmp_path}")
    shutil.rmtree(tmp_path / "annotations")
    with pytest.raises(InputError, match=r"has no annotation file; what is needed: annotations/instances_train.json"):
        open_data(f"coco:{tmp_path}")


def test_shapes_of_labelme(tmp_path: Path) -> None:
    """A circle, a bitmap, a turned rectangle; without folders for splits and without a list of classes."""
    bitmap = np.zeros((6, 5), np.uint8)
    bitmap[1:, :] = 1
    Image.fromarray(bitmap * 255).save(tmp_path / "bitmap.png")
    import base64

    packed = base64.b64encode((tmp_path / "bitmap.png").read_bytes()).decode()
    (tmp_path / "bitmap.png").unlink()
    shapes = [
        {"label": "disc", "shape_type": "circle", "points": [[20, 20], [30, 20]]},
        {"label": "bitmap", "shape_type": "mask", "points": [[3, 2], [7, 7]], "mask": packed},
        {**shape("turned", 40, 4, 46, 10), "shape_type": "oriented_rectangle"},
        {"label": "line", "shape_type": "linestrip", "points": [[1, 1], [5, 5]]},
    ]
    for i in range(3):
        save(np.full((*SIZE, 3), 50 * i, np.uint8), tmp_path / f"{i}.png")
        value = {"version": "5.5.0", "shapes": shapes, "imagePath": f"{i}.png", "imageData": None}
        (tmp_path / f"{i}.json").write_text(json.dumps(value))
    save(np.zeros((*SIZE, 3), np.uint8), tmp_path / "new.png")
    data = open_data(f"labelme:{tmp_path}")
    assert data.classes == ("background", "bitmap", "disc", "turned")
    assert (len(data.train), len(data.val)) == (2, 1)
    assert [group.reason for group in data.left_out] == ["images without a .json of LabelMe"]
    assert data.notes == ("3 points and lines have no area and are left out",)
    _, mask = read_pair(data.train[0], data)
    assert (mask == 1).sum() == 25
    assert (mask[3:8, 3:8] == 1).all()
    assert abs((mask == 2).sum() - np.pi * 100) < 8
    assert (mask == 3).sum() == 36
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\nturned\ndisc\n")
    with pytest.raises(DataError, match=r"0.json: the class bitmap is not in the list of classes; add it"):
        open_data(f"labelme:{tmp_path}")


def test_labels_of_yolo_that_are_wrong(tmp_path: Path) -> None:
    spec = made_annotations.yolo(tmp_path).spec
    first, second, third = sorted((tmp_path / "train/labels").iterdir())
    first.write_text("0 0.1 0.1 0.5 0.1 0.5\n")
    second.write_text("9 0.1 0.1 0.5 0.1 0.5 0.5\n")
    with pytest.raises(DataError, match=r"0.txt: line 1 is no class number with x and y of points; export the labels"):
        open_data(spec)
    first.write_text("0 0.5 0.5 0.2 0.2\n\n")
    with pytest.raises(DataError, match=r"1.txt: class 9 has no name, there are 3; add it or mend it"):
        open_data(spec)
    second.write_text("1 40 40 80 40 80 80\n")
    with pytest.raises(DataError, match=r"1.txt: line 1 has numbers that are no shares of the image's sides"):
        open_data(spec)
    second.write_text("")
    third.unlink()
    data = open_data(spec)
    count = sum(len(path.read_text().splitlines()) for path in (tmp_path / "valid/labels").iterdir()) + 1
    assert data.notes == (
        f"1 of {count} labels are boxes without an outline: left out",
        "1 of 6 images have no file of labels: all of them is background",
    )
    for path in tmp_path.glob("*/labels/*.txt"):
        path.write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(InputError, match="all 5 labels are boxes, which are no masks; export the labels as segments"):
        open_data(spec)


def test_yolo_without_a_yaml_file(tmp_path: Path) -> None:
    """As Label Studio exports it: one folder of images, the names in classes.txt."""
    made_annotations.yolo_numbered(tmp_path)
    for kind in ("images", "labels"):
        for path in [*(tmp_path / kind / "train").iterdir()]:
            path.rename(tmp_path / kind / path.name)
        shutil.rmtree(tmp_path / kind / "train")
        shutil.rmtree(tmp_path / kind / "val")
    (tmp_path / "dataset.yaml").unlink()
    data = open_data(f"folder:{tmp_path}")
    assert data.classes == ("background", "class0", "class1", "class2")
    assert (len(data.train), len(data.val)) == (2, 1)
    (tmp_path / "classes.txt").write_text("car\ntraffic light\nvoid\n")
    assert open_data(f"yolo:{tmp_path}").classes == ("background", "car", "traffic light")
