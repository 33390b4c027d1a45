"""Masks and overlays of a user's own pictures and videos."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from compress.data.formats import read_bands
from compress.data.scene_files import scene_size
from compress.evaluation.sliding import MAX_OVERLAP, OVERLAP
from compress.evaluation.tile_scores import TileScores, open_tile_scores
from compress.prediction.card import ModelCard, find_model
from compress.prediction.drawing import class_shares, mask_picture, overlay_picture
from compress.prediction.geotiff import copied_tags, has_place, write_class_map
from compress.prediction.inputs import check_names, list_inputs
from compress.prediction.output import make_writable, save_picture
from compress.prediction.scene import predict_scene
from compress.prediction.segmenter import Segmenter, open_segmenter
from compress.prediction.smoothing import TemporalSmoothing, flicker
from compress.prediction.video import frame_count, frames, frames_per_second, is_video, open_video, write_video
from compress.tflite.flatbuffer import read_tflite
from search_spaces.errors import DataError, InputError
from search_spaces.ops import RGB_BANDS


@dataclass(frozen=True)
class Scenes:
    """How scenes are classified (`compress.evaluation.sliding`).

    Attributes:
        are_all: Whether every picture is a scene. Otherwise TIFF files of more than SCENE_PIXELS pixels are.
        overlap: Over which share of its side a tile is blended with the next one.
    """

    are_all: bool = False
    overlap: float = OVERLAP

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= MAX_OVERLAP:
            raise InputError(f"--overlap {self.overlap:g}: give a share of a tile's side from 0 to {MAX_OVERLAP}")


@dataclass
class Flicker:
    """Adds up `flicker` over a video, for the class maps as the model gives them and as they are shown."""

    raw: float = 0.0
    shown: float = 0.0
    pairs: int = 0

    def add(self, before: "Frame", after: "Frame") -> None:
        """Counts a pair of frames.

        Args:
            before: a frame.
            after: the next one.
        """
        self.raw += flicker((before.image, before.raw), (after.image, after.raw))
        self.shown += flicker((before.image, before.shown), (after.image, after.shown))
        self.pairs += 1


@dataclass(frozen=True)
class Frame:
    """A frame H,W,3 in bytes, its class map h,w as the model gives it and as it is shown, all three of one size."""

    image: np.ndarray
    raw: np.ndarray
    shown: np.ndarray


def predict(
    model: Path,
    inputs: Sequence[Path],
    out: Path,
    smooth: bool = False,
    threads: int = 1,
    scenes: Scenes | None = None,
    show_bands: str | None = None,
) -> None:
    """Segments pictures and videos and prints one JSON line for each picture and each frame.

    A picture NAME.jpg becomes NAME.mask.png, which holds the class indices and shows the class colours, and
    NAME.overlay.png. The mask of a scene, and of a picture that says where it lies, is the GeoTIFF NAME.mask.tif. A
    video becomes NAME.overlay.mp4. A picture that cannot be read does not stop the others.

    Args:
        model: a run folder, or a .tflite file with its model.json beside it.
        inputs: pictures, videos, and folders of them.
        out: the folder for the results; it is made if it is not there.
        smooth: whether the class maps of a video are smoothed over time.
        threads: of the LiteRT interpreter.
        scenes: how scenes are classified; None as `Scenes` says by default.
        show_bands: the bands that overlays show; None for the visible ones.

    Raises:
        InputError: the model or an input is not there, two results would have one name, or `out` cannot be written.
        DataError: some pictures could not be read; the others are done.
    """
    segmenter = open_segmenter(model, threads, show_bands)
    files = list_inputs(inputs)
    check_names(files)
    if smooth and not any(map(is_video, files)):
        raise InputError("--smooth: smooths over the frames of a video, and no input is one; leave it out")
    make_writable(out)
    faults: list[str] = []
    scores: TileScores | None = None
    scenes = scenes or Scenes()
    with tqdm(total=len(files), desc="predict", unit="file", dynamic_ncols=True, disable=None) as bar:
        for file in files:
            try:
                if is_video(file):
                    predict_video(segmenter, file, out, smooth)
                elif scenes.are_all or scene_size(file) is not None:
                    scores = scores or open_tile_scores(read_tflite(find_model(model)[0]), segmenter.card.tile, threads)
                    card, overlap, picture = segmenter.card, scenes.overlap, segmenter.picture
                    print(json.dumps(predict_scene(scores, card, file, out, overlap, picture)), flush=True)
                else:
                    print(json.dumps(predict_image(segmenter, file, out)), flush=True)
            except InputError as error:
                faults.append(str(error))
            bar.update()
    if faults:
        raise DataError([f"{len(faults)} of {len(files)} inputs could not be used", *faults])


def predict_image(segmenter: Segmenter, file: Path, out: Path) -> dict[str, Any]:
    """Segments one picture and writes its mask and its overlay.

    Args:
        segmenter: the model.
        file: the picture.
        out: the folder for the results.

    Returns:
        What the JSON line says: file names, size, milliseconds of the model, shares of the classes.

    Raises:
        InputError: the picture cannot be read, or has other bands than the model takes.
    """
    image = segmenter.card.pixels.to_bytes(read_bands(file), file)
    begun = time.perf_counter()
    class_map = segmenter.class_map(image)
    milliseconds = (time.perf_counter() - begun) * 1e3
    mask, overlay = out / f"{file.stem}.mask.png", out / f"{file.stem}.overlay.png"
    tags = copied_tags(file)
    if has_place(tags):
        mask = mask.with_suffix(".tif")
        write_class_map(mask, [class_map], class_map.shape, segmenter.card, tags)
    else:
        save_picture(mask_picture(class_map, segmenter.card), mask)
    save_picture(overlay_picture(segmenter.picture(image), class_map, segmenter.card), overlay)
    return {
        "image": str(file),
        "mask": str(mask),
        "overlay": str(overlay),
        "height": image.shape[0],
        "width": image.shape[1],
        "ms": round(milliseconds, 2),
        "shares": _rounded_shares(class_map, segmenter.card),
    }


def predict_video(segmenter: Segmenter, file: Path, out: Path, smooth: bool) -> None:
    """Segments a video, writes it with its overlay and prints a JSON line for each frame.

    How much the classes flicker is printed to stderr at the end, without and with smoothing.

    Args:
        segmenter: the model.
        file: the video.
        out: the folder for the result.
        smooth: whether the class maps are smoothed over time.

    Raises:
        InputError: the model takes other bands, the video cannot be read or the result cannot be written.
    """
    bands = len(segmenter.card.pixels.bands)
    if bands != RGB_BANDS:
        raise InputError(f"{file}: a video has {RGB_BANDS} bands, the model takes {bands}; give pictures of {bands}")
    total = Flicker()
    target = out / f"{file.stem}.overlay.mp4"
    with open_video(file) as capture:
        fps, count = frames_per_second(capture), frame_count(capture)
        bar = tqdm(frames(capture), file.name, count, unit="frame", leave=False, dynamic_ncols=True, disable=None)
        with _writing(target, fps) as write:
            before: Frame | None = None
            for number, (image, frame) in enumerate(segmented(segmenter, bar, smooth)):
                shown = _enlarged(frame.shown, image.shape[:2])
                write(np.asarray(overlay_picture(image, shown, segmenter.card)))
                shares = _rounded_shares(frame.shown, segmenter.card)
                print(json.dumps({"video": str(file), "frame": number, "shares": shares}), flush=True)
                if before is not None:
                    total.add(before, frame)
                before = frame
            if before is None:
                raise InputError(f"{file}: the video has no frame that can be decoded; convert it to .mp4")
    if total.pairs:
        without = f"{total.raw / total.pairs:.2%} of the still pixels change their class from frame to frame"
        smoothed = f", {total.shown / total.pairs:.2%} with --smooth" if smooth else ""
        print(f"{file}: {without}{smoothed}", file=sys.stderr)


def segmented(segmenter: Segmenter, images: Iterator[np.ndarray], smooth: bool) -> Iterator[tuple[np.ndarray, Frame]]:
    """Runs a model over frames.

    Args:
        segmenter: the model.
        images: frames H,W,3 in bytes, RGB.
        smooth: whether the class maps are smoothed over time.

    Yields:
        Each frame as it came, and all of it at the size that the model gives.
    """
    smoothing = TemporalSmoothing(len(segmenter.card.classes)) if smooth else None
    for image in images:
        raw = segmenter.small_class_map(image)
        small = cv2.resize(image, (raw.shape[1], raw.shape[0]), interpolation=cv2.INTER_AREA)
        yield image, Frame(small, raw, raw if smoothing is None else smoothing.smooth(image, raw))


@contextmanager
def _writing(target: Path, fps: float) -> Iterator[Any]:
    """A function that writes H,W,3 bytes, RGB; the size is that of the first frame."""
    opened: list[Any] = []

    def write(picture: np.ndarray) -> None:
        if not opened:
            context = write_video(target, picture.shape[:2], fps)
            opened.extend([context, context.__enter__()])
        opened[1].write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    try:
        yield write
    except BaseException:
        if opened:
            opened[0].__exit__(*sys.exc_info())
        raise
    if opened:
        opened[0].__exit__(None, None, None)


def _enlarged(class_map: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(cv2.resize(class_map, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT))


def _rounded_shares(class_map: np.ndarray, card: ModelCard) -> dict[str, float]:
    return {name: round(share, 4) for name, share in class_shares(class_map, card.classes).items()}
