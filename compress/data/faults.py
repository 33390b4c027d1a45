"""One error for all wrong files of a data set."""

import re
from collections import defaultdict
from collections.abc import Sequence

from search_spaces.errors import DataError, InputError

MAX_EQUAL_LINES = 10  # of faults that differ in their numbers only; more of them are one line


def data_error(faults: Sequence[InputError], spec: str) -> DataError:
    """Puts the faults of files together.

    Args:
        faults: One fault for each wrong file or pair. Its message begins with the file.
        spec: The value of `--data`.

    Returns:
        An error with a line that counts the files, then a line for each file. More than MAX_EQUAL_LINES faults that
        are alike are one line with a count.
    """
    lines = [line for fault in faults for line in (fault.lines if isinstance(fault, DataError) else [str(fault)])]
    alike: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        alike[_kind(line)].append(line)
    shown = []
    for line in lines:
        same = alike[_kind(line)]
        if len(same) <= MAX_EQUAL_LINES:
            shown.append(line)
        elif line is same[0]:
            file, _, reason = line.partition(": ")
            shown.append(f"{file} and {len(same) - 1:,} more like it: {reason}")
    return DataError([f"--data {spec}: {len(lines):,} wrong file{'s' * (len(lines) > 1)}", *shown])


def _kind(line: str) -> str:
    """A message without the names of files and without numbers."""
    _, _, reason = line.partition(": ")
    words = ["" if "/" in word or "\\" in word else word for word in reason.split()]
    return re.sub(r"\d+", "0", " ".join(words))
