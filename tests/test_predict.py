"""compress.predict: a model and its card on pictures and videos of the user's own."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import compress.predict
from compress.prediction.card import read_card
from compress.prediction.segmenter import open_segmenter
from compress.prediction.smoothing import TemporalSmoothing, flicker
from search_spaces.errors import InputError

SHIPPED = Path(__file__).parent.parent / "runs" / "camvid"  # a real model with its card


@pytest.fixture(scope="session")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model and the card alone, as an app developer gets them."""
    folder = tmp_path_factory.mktemp("copied")
    for name in ("model.tflite", "model.json"):
        shutil.copyfile(SHIPPED / name, folder / name)
    return folder / "model.tflite"


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of another size than the model's: sky above, road below."""
    path = tmp_path_factory.mktemp("photo") / "street.jpg"
    rows = np.linspace(0, 1, 300)[:, None, None]
    picture = np.array([200, 215, 235]) * (1 - rows) + np.array([70, 70, 75]) * rows
    noise = np.random.default_rng(0).integers(-12, 12, (300, 500, 3))
    Image.fromarray(np.clip(picture + noise, 0, 255).astype(np.uint8)).save(path, quality=95)
    return path


def test_a_picture_becomes_mask_overlay_and_shares(copied: Path, photo: Path, tmp_path: Path, command) -> None:
    code, out, _ = command(compress.predict.main, copied, photo, "--out", tmp_path)
    assert code == 0
    line = json.loads(out.strip())
    card = read_card(copied.with_name("model.json"))
    assert list(line["shares"]) == list(card.classes)
    assert sum(line["shares"].values()) == pytest.approx(1, abs=1e-3)
    mask = Image.open(line["mask"])
    assert mask.size == (500, 300)
    assert mask.mode == "P"
    indices = np.asarray(mask)
    assert np.array_equal(indices, open_segmenter(copied).class_map(np.asarray(Image.open(photo))))
    shown = np.asarray(mask.convert("RGB"))
    assert np.array_equal(shown, np.array(card.colours, np.uint8)[indices])
    assert Image.open(line["overlay"]).size == (500, 300)
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]


def test_pixels_reach_the_model_as_they_are(copied: Path) -> None:
    """A picture of the model's own size needs no resize: the interpreter fed by hand gives the same map."""
    segmenter = open_segmenter(copied)
    image = np.random.default_rng(0).integers(0, 256, (*segmenter.card.resolution, 3), np.uint8)
    found = segmenter.class_map(image)
    reads, makes = segmenter.interpreter.get_input_details()[0], segmenter.interpreter.get_output_details()[0]
    segmenter.interpreter.set_tensor(reads["index"], (image.astype(np.int16) - 128).astype(np.int8)[None])
    segmenter.interpreter.invoke()
    assert np.array_equal(found, segmenter.interpreter.get_tensor(makes["index"])[0])


def test_a_damaged_picture_does_not_stop_the_others(copied: Path, photo: Path, tmp_path: Path, command) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"no picture")
    shutil.copyfile(photo, folder / "b.jpg")
    (folder / "notes.txt").write_text("left out")
    code, out, err = command(compress.predict.main, copied, folder, "--out", tmp_path / "out")
    assert code == 2
    assert [json.loads(line)["image"] for line in out.splitlines()] == [str(folder / "b.jpg")]
    assert f"{folder}: 1 entries are neither pictures nor videos and are left out" in err
    assert "1 of 2 inputs could not be used" in err
    assert f"{folder / 'a.png'}: cannot be read as an image" in err


def video(path: Path, frames: int = 6) -> Path:
    """Pictures that shift by a pixel a frame."""
    wide = np.random.default_rng(0).integers(0, 256, (12, 40, 3), np.uint8)
    wide = cv2.resize(wide, (400, 120), interpolation=cv2.INTER_CUBIC)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (160, 120))
    for number in range(frames):
        writer.write(wide[:, number : number + 160])
    writer.release()
    return path


def test_a_video_becomes_a_video_and_a_line_for_each_frame(copied: Path, tmp_path: Path, command) -> None:
    source = video(tmp_path / "drive.mp4")
    code, out, err = command(compress.predict.main, copied, source, "--out", tmp_path / "out", "--smooth")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["frame"] for line in lines] == list(range(6))
    capture = cv2.VideoCapture(str(tmp_path / "out" / "drive.overlay.mp4"))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 6
    assert (capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (160, 120)
    assert "of the still pixels change their class from frame to frame" in err
    assert "with --smooth" in err


def test_smoothing_outvotes_a_single_frame() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    smoothing = TemporalSmoothing(2)
    calm, odd = np.zeros((64, 80), np.uint8), np.ones((64, 80), np.uint8)
    for _ in range(4):
        assert not smoothing.smooth(image, calm).any()
    assert not smoothing.smooth(image, odd).any()
    for _ in range(6):
        found = smoothing.smooth(image, odd)
    assert found.all()


def test_smoothing_starts_anew_where_the_picture_changes() -> None:
    smoothing = TemporalSmoothing(2)
    dark, bright = np.zeros((64, 80, 3), np.uint8), np.full((64, 80, 3), 255, np.uint8)
    for _ in range(5):
        smoothing.smooth(dark, np.zeros((64, 80), np.uint8))
    assert smoothing.smooth(bright, np.ones((64, 80), np.uint8)).all()


def test_flicker_counts_still_pixels_alone() -> None:
    image = np.zeros((10, 10, 3), np.uint8)
    moved = image.copy()
    moved[:5] = 200
    before, after = np.zeros((10, 10), np.uint8), np.ones((10, 10), np.uint8)
    after[5:, 5:] = 0
    assert flicker((image, before), (moved, after)) == 0.5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{model}", "{here}/none.jpg"], "none.jpg: there is no such file or folder"),
        (["{model}", "{here}"], "the folder holds no picture"),
        (["{model}", "{card}"], "neither a picture"),
        (["{here}", "{photo}"], "model.tflite is missing; run python -m compress.export"),
        (["{here}/none.tflite", "{photo}"], "there is no such file"),
        (["{photo}", "{photo}"], "neither a run folder nor a .tflite file"),
        (["{model}", "{photo}", "{photo}"], "the results would have the same name"),
        (["{model}", "{photo}", "--smooth"], "--smooth: smooths over the frames of a video"),
        (["{model}", "{photo}", "--out", "{photo}"], "cannot be made"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], says: str, copied: Path, photo: Path, tmp_path: Path, command
) -> None:
    places = {"model": copied, "here": tmp_path, "card": copied.with_name("model.json"), "photo": photo}
    code, _, err = command(compress.predict.main, *(argument.format(**places) for argument in arguments))
    assert code == 2
    assert says in err
    assert len(err.strip().splitlines()) == 1


def test_a_model_without_its_card_is_refused(copied: Path, tmp_path: Path) -> None:
    alone = tmp_path / "model.tflite"
    shutil.copyfile(copied, alone)
    with pytest.raises(InputError, match=r"model.json is missing; copy the model.json"):
        open_segmenter(alone)


@pytest.mark.parametrize(
    "damage",
    [
        lambda card: card.pop("classes"),
        lambda card: card["colours"].pop(),
        lambda card: card["input"].update(shape=[1, 2]),
        lambda card: card["input"].update(bands=None),
        lambda card: card["colours"][0].__setitem__(0, 300),
    ],
)
def test_a_damaged_card_is_refused(damage, copied: Path, tmp_path: Path) -> None:
    card = json.loads(copied.with_name("model.json").read_text())
    damage(card)
    path = tmp_path / "model.json"
    path.write_text(json.dumps(card))
    with pytest.raises(InputError, match="not a model card"):
        read_card(path)


def test_a_card_of_another_model_is_refused(copied: Path, tmp_path: Path) -> None:
    card = json.loads(copied.with_name("model.json").read_text())
    card["input"]["shape"] = [1, 64, 64, 3]
    shutil.copyfile(copied, tmp_path / "model.tflite")
    (tmp_path / "model.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="does not fit"):
        open_segmenter(tmp_path / "model.tflite")
