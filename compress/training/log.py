"""STAGE/log.csv: how a training went.

It has a line every LOG_STEPS steps and one for the last step: the step, the seconds since the start, the mean loss
since the line before, the learning rate.
"""

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from compress.files.atomic import write_atomically
from search_spaces.errors import InputError

LOG_FILE = "log.csv"
LOG_STEPS = 50
HEAD = ("step", "seconds", "loss", "lr")


@dataclass
class TrainingLog:
    """Writes log.csv. A resumed training keeps the lines up to its first step; later ones are of steps done again.

    Attributes:
        path: The file.
        start: The step that the training goes on from; 0 for a new one.
    """

    path: Path
    start: int
    _losses: list[float] = field(default_factory=list)
    _lines: list[tuple[str, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.start and self.path.exists():
            self._lines = [line for line in read_log(self.path) if int(line[0]) <= self.start]

    def add(self, step: int, seconds: float, loss: float, lr: float, last: bool) -> None:
        """Adds a step, and writes the file every LOG_STEPS steps.

        Args:
            step: The step, counted from 1.
            seconds: Since the start of the training.
            loss: The step's loss.
            lr: The step's learning rate.
            last: Whether this is the last step.
        """
        self._losses.append(loss)
        if step % LOG_STEPS and not last:
            return
        mean = sum(self._losses) / len(self._losses)
        self._losses.clear()
        self._lines.append((str(step), f"{seconds:.0f}", f"{mean:.4f}", f"{lr:.3g}"))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([HEAD, *self._lines])
        write_atomically(self.path, text.getvalue().encode())


def read_log(path: Path) -> list[tuple[str, ...]]:
    """Reads the lines of a log.csv.

    Args:
        path: The file.

    Returns:
        A line for each entry, as text: step, seconds, loss, learning rate.

    Raises:
        InputError: The file is damaged.
    """
    try:
        with path.open(newline="") as file:
            head, *lines = list(csv.reader(file))
        if tuple(head) != HEAD or any(len(line) != len(HEAD) or int(line[0]) < 1 for line in lines):
            raise ValueError(f"not lines of {','.join(HEAD)}")
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path} is damaged ({error}); delete it: the training goes on and begins a new log"
        ) from error
    return [tuple(line) for line in lines]
