"""People seen by a fixed camera: frames of a video, with masks made from what moves. Pseudo-labels, not hand-drawn.

The background is the median over time. A pixel is a person's where the frame is far from it, void where it may be, and
background elsewhere. Whoever stands still for most of the video is background, and whatever else moves is a person:
only videos in which people alone move will do.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from compress.data.labels import IGNORE
from compress.data.makers.split_folder import BlockSplit, Example, write_splits
from search_spaces.errors import InputError

CLASSES_TXT = "background 40 60 80\nperson 240 200 60\n"
REMEDY = "apt-get download opencv-doc && dpkg -x opencv-doc_*.deb opencv-doc brings it"
EVERY, END = 5, 750  # frames; after END vtest.avi shows a car's hatch that opens
SPLIT = BlockSplit(8, (6, 7), gap=10)  # of the frames used; the last quarter is for validation
SURE, MAYBE = 36, 18  # grey levels from the background, of the channel that differs most
MIN_PERSON_PIXELS = 150
MIN_WIDTH = 5  # pixels: what is narrower is no person but barrier tape
MAX_GAP = 7  # pixels: wider gaps within a person stay


def write(video: Path, folder: Path) -> None:
    """Writes the data set in the layout of `--data folder:DIR`.

    Args:
        video: The file of the video.
        folder: An empty folder.

    Raises:
        InputError: The file is no video, or it is too short.
    """
    frames = read_frames(video)
    background = np.stack([np.median(frames[:, row], axis=0) for row in range(frames.shape[1])]).astype(np.uint8)

    def examples(places: list[int]) -> Iterator[Example]:
        for i in places:
            yield f"f{i * EVERY:05}", frames[i], moving(frames[i], background)

    write_splits(folder, SPLIT.places(len(frames)), examples, CLASSES_TXT)


def read_frames(video: Path) -> np.ndarray:
    """Reads every fifth frame (EVERY) up to frame END.

    Args:
        video: The file of the video.

    Returns:
        N,H,W,3 bytes, red first.

    Raises:
        InputError: The file is no video, or it is too short.
    """
    opened = cv2.VideoCapture(str(video))
    frames = []
    for i in range(END):
        if not opened.grab():
            break
        if i % EVERY == 0:
            frames.append(cv2.cvtColor(opened.retrieve()[1], cv2.COLOR_BGR2RGB))
    opened.release()
    if len(frames) < 4 * SPLIT.gap:
        raise InputError(f"{video}: no video of {4 * SPLIT.gap * EVERY} frames or more; {REMEDY}")
    return np.stack(frames)


def moving(frame: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Makes the mask of a frame.

    Args:
        frame: H,W,3 bytes.
        background: H,W,3 bytes: the scene without people.

    Returns:
        H,W bytes: 1 where someone is, IGNORE where that is doubtful, 0 elsewhere.
    """
    smooth = (cv2.GaussianBlur(image, (5, 5), 0).astype(np.int16) for image in (frame, background))
    far = np.abs(np.subtract(*smooth)).max(axis=2)
    _, part, measures, _ = cv2.connectedComponentsWithStats(_tidy(far > SURE, MIN_WIDTH))
    seen = measures[:, cv2.CC_STAT_AREA] >= MIN_PERSON_PIXELS
    seen[0] = False  # the background
    mask = np.where(_tidy(far > MAYBE, 3) > 0, IGNORE, 0).astype(np.uint8)
    mask[seen[part]] = 1
    return mask


def _tidy(found: np.ndarray, min_width: int) -> np.ndarray:
    """Without the parts that are narrower than `min_width` pixels, and with gaps up to MAX_GAP closed."""
    opened = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, _disc(min_width))
    return cv2.morphologyEx(opened, cv2.MORPH_CLOSE, _disc(MAX_GAP))


def _disc(across: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across))
