"""Temporal smoothing of the class maps of a video, and how much they flicker.

Every pixel keeps a moving average of the votes that its class got. Before each frame the averages move along with the
picture: dense inverse search finds the optical flow between the two frames (DIS, Kroeger et al. 2016). A pixel starts
anew where the moved picture does not look like the new frame, since something else has come into view there. Warping
along optical flow is the usual way to temporal consistency (Lai et al. 2018).
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

MEMORY = 0.8  # of the average that stays from frame to frame: a vote counts for about five frames
MAX_MISMATCH = 24  # grey levels; beyond it a pixel shows something else than before
STILL_LEVELS = 8  # grey levels; a pixel that changes by less counts as unchanged


@dataclass
class TemporalSmoothing:
    """The state between two frames.

    Attributes:
        classes: number of classes.
        memory: share of the average that stays from frame to frame, from 0 to below 1.
    """

    classes: int
    memory: float = MEMORY
    _votes: np.ndarray | None = None
    _grey: np.ndarray | None = None
    _flow: cv2.DISOpticalFlow = field(
        default_factory=lambda: cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    )

    def smooth(self, image: np.ndarray, class_map: np.ndarray) -> np.ndarray:
        """Takes the next frame in.

        Args:
            image: the frame H,W,3 in bytes, RGB.
            class_map: its class indices h,w as the model gives them; h,w may be smaller than H,W.

        Returns:
            The class indices h,w with the most votes.
        """
        height, width = class_map.shape
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        votes = np.eye(self.classes, dtype=np.float32)[class_map]
        if self._votes is not None and self._grey is not None:
            kept, trusted = self._moved(grey)
            share = np.where(trusted, self.memory, 0.0)[..., None].astype(np.float32)
            votes = share * kept + (1 - share) * votes
        self._votes, self._grey = votes, grey
        return np.asarray(votes.argmax(-1), np.uint8)

    def _moved(self, grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The votes where they are in the new frame, and whether the picture there is the same."""
        assert self._votes is not None and self._grey is not None
        empty = np.zeros((*grey.shape, 2), np.float32)
        flow = np.asarray(self._flow.calc(grey, self._grey, empty))  # where each new pixel was
        height, width = grey.shape
        columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        columns, rows = columns + flow[..., 0], rows + flow[..., 1]
        before = cv2.remap(self._grey, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        trusted = inside & (cv2.absdiff(before, grey) <= MAX_MISMATCH)
        row = np.clip(np.round(rows), 0, height - 1).astype(int)
        column = np.clip(np.round(columns), 0, width - 1).astype(int)
        return self._votes[row, column], trusted


def flicker(before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray]) -> float:
    """Measures how much the class map changes where the picture does not.

    Args:
        before: a frame H,W,3 in bytes and its class indices H,W.
        after: the next frame and its class indices.

    Returns:
        Of the pixels whose grey level changes by less than `STILL_LEVELS`, the share whose class changes.
    """
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image, _ in (before, after)]
    still = cv2.absdiff(grey[0], grey[1]) < STILL_LEVELS
    changed = before[1] != after[1]
    return float((changed & still).sum() / max(1, int(still.sum())))
