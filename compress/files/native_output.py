"""What noisy libraries print goes to a log file."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compress.files.atomic import write_errors


@contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Appends everything printed to a file, by Python and by native code, as long as the context lasts.

    Args:
        log: The file. Its folder is made.

    Yields:
        Nothing.
    """
    with write_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("ab")
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    level = logging.root.manager.disable
    with file:
        try:
            logging.disable(logging.WARNING)
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            os.close(kept[0])
            os.close(kept[1])
            logging.disable(level)
