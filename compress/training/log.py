"""STAGE/log.csv: how a training went, a line every EVERY steps: the step, seconds since the start, the mean loss since
the line before, the learning rate."""

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from compress.files.atomic import write_atomically

EVERY = 50  # steps, and the last
HEAD = ("step", "seconds", "loss", "lr")


@dataclass
class TrainingLog:
    """Goes on with the file at `path` up to step `start`; what a killed training wrote after its last checkpoint is
    dropped, for those steps are done again."""

    path: Path
    start: int
    _losses: list[float] = field(default_factory=list)
    _lines: list[tuple[str, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.start and self.path.exists():
            with self.path.open(newline="") as file:
                self._lines = [tuple(line) for line in list(csv.reader(file))[1:] if int(line[0]) <= self.start]

    def add(self, step: int, seconds: float, loss: float, lr: float, last: bool) -> None:
        """After a step, counted from 1."""
        self._losses.append(loss)
        if step % EVERY and not last:
            return
        mean = sum(self._losses) / len(self._losses)
        self._losses.clear()
        self._lines.append((str(step), f"{seconds:.0f}", f"{mean:.4f}", f"{lr:.3g}"))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([HEAD, *self._lines])
        write_atomically(self.path, text.getvalue().encode())
