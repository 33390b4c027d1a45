"""Frames of a video file, read and written one at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from search_spaces.errors import InputError

VIDEO_ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
CODEC = "mp4v"  # that every build of OpenCV can write
DEFAULT_FPS = 25.0  # where the file does not say it


def is_video(path: Path) -> bool:
    """Tells videos by their endings.

    Args:
        path: a file.

    Returns:
        Whether its name ends as a video's does.
    """
    return path.suffix.lower() in VIDEO_ENDINGS


@contextmanager
def open_video(path: Path) -> Iterator[cv2.VideoCapture]:
    """Opens a video and closes it.

    Args:
        path: the file.

    Yields:
        OpenCV's capture.

    Raises:
        InputError: the file is no video that OpenCV can decode.
    """
    capture = cv2.VideoCapture(str(path))
    try:
        if not path.is_file() or not capture.isOpened():
            raise InputError(f"{path}: cannot be read as a video; convert it to .mp4")
        yield capture
    finally:
        capture.release()


def frame_count(capture: cv2.VideoCapture) -> int | None:
    """Reads how many frames a video claims to have.

    Args:
        capture: the open video.

    Returns:
        The number of frames, or None where the file does not say it.
    """
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return count if count > 0 else None


def frames_per_second(capture: cv2.VideoCapture) -> float:
    """Reads the speed of a video.

    Args:
        capture: the open video.

    Returns:
        Frames a second.
    """
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    return fps if 0 < fps < 1000 else DEFAULT_FPS


def frames(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    """Decodes a video.

    Args:
        capture: the open video.

    Yields:
        H,W,3 bytes, RGB, of each frame.
    """
    while True:
        more, frame = capture.read()
        if not more:
            return
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


@contextmanager
def write_video(path: Path, size: tuple[int, int], fps: float) -> Iterator[cv2.VideoWriter]:
    """Writes a video beside its final name and renames it when all frames are there.

    Args:
        path: the .mp4 file.
        size: height and width in pixels.
        fps: frames a second.

    Yields:
        OpenCV's writer, which takes H,W,3 bytes, BGR.

    Raises:
        InputError: the file cannot be written.
    """
    part = path.with_name(f".{path.stem}.part.mp4")
    writer = cv2.VideoWriter(str(part), cv2.VideoWriter.fourcc(*CODEC), fps, (size[1], size[0]))
    try:
        if not writer.isOpened():
            raise InputError(f"{path}: a video cannot be written there; choose another --out")
        yield writer
        writer.release()
        part.replace(path)
    finally:
        writer.release()
        part.unlink(missing_ok=True)
