"""People seen by a fixed camera: frames of a video, with masks made from what moves. Pseudo-labels, not hand-drawn.

The background is the median over time. A pixel is a person's where the frame is far from it, void where it may be, and
background elsewhere. Whoever stands still for most of the video is background, and whatever else moves is a person:
only videos in which people alone move will do.
"""

from pathlib import Path

import cv2
import numpy as np

from compress.data.labels import IGNORE
from compress.data.makers.pairs import Pairs, split_blocks, write_split
from search_spaces.errors import InputError

CLASSES = "background 40 60 80\nperson 240 200 60\n"
REMEDY = "apt-get download opencv-doc && dpkg -x opencv-doc_*.deb opencv-doc brings it"
EVERY, END = 5, 750  # frames; after END vtest.avi shows a car's hatch that opens
BLOCKS, HELD_OUT, GAP = 8, (6, 7), 10  # of the frames used; the last quarter is for validation
SURE, MAYBE = 36, 18  # grey levels from the background, of the channel that differs most
SMALLEST = 150  # pixels of a person
THIN, GAPS = 5, 7  # pixels across: what is thinner is no person but barrier tape, what is narrower no gap


def write(video: Path, folder: Path) -> None:
    """A `folder:` data set."""
    frames = read_frames(video)
    background = np.stack([np.median(frames[:, row], axis=0) for row in range(frames.shape[1])]).astype(np.uint8)

    def pairs(split: list[int]) -> Pairs:
        for i in split:
            yield f"f{i * EVERY:05}", frames[i], moving(frames[i], background)

    for split, places in split_blocks(len(frames), BLOCKS, HELD_OUT, GAP).items():
        write_split(folder / split, pairs(places))
    (folder / "classes.txt").write_text(CLASSES)


def read_frames(video: Path) -> np.ndarray:
    """Each EVERYth frame before END, N,H,W,3. Raises InputError for what is no video, or a short one."""
    opened = cv2.VideoCapture(str(video))
    frames = []
    for i in range(END):
        if not opened.grab():
            break
        if i % EVERY == 0:
            frames.append(cv2.cvtColor(opened.retrieve()[1], cv2.COLOR_BGR2RGB))
    opened.release()
    if len(frames) < 4 * GAP:
        raise InputError(f"{video}: no video of {4 * GAP * EVERY} frames or more; {REMEDY}")
    return np.stack(frames)


def moving(frame: np.ndarray, background: np.ndarray) -> np.ndarray:
    """1 where someone is, IGNORE where that is doubtful, 0 elsewhere."""
    smooth = (cv2.GaussianBlur(image, (5, 5), 0).astype(np.int16) for image in (frame, background))
    far = np.abs(np.subtract(*smooth)).max(axis=2)
    _, part, facts, _ = cv2.connectedComponentsWithStats(_tidy(far > SURE, THIN, GAPS))
    seen = facts[:, cv2.CC_STAT_AREA] >= SMALLEST
    seen[0] = False  # the background
    mask = np.where(_tidy(far > MAYBE, 3, GAPS) > 0, IGNORE, 0).astype(np.uint8)
    mask[seen[part]] = 1
    return mask


def _tidy(found: np.ndarray, thin: int, gaps: int) -> np.ndarray:
    """Without what is thinner than `thin` pixels, and with gaps up to `gaps` closed."""
    opened = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, _disc(thin))
    return cv2.morphologyEx(opened, cv2.MORPH_CLOSE, _disc(gaps))


def _disc(across: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across))
