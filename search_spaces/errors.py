"""The ways a command ends early: each becomes an exit code and one line on stderr, or a line for each wrong file."""

from collections.abc import Sequence


class InputError(ValueError):
    """Bad input. The message names the file, value or flag and the remedy (exit code 2)."""


class BudgetError(InputError):
    """No network of the space meets the latency budget (exit code 3)."""


class DataError(InputError):
    """Files of a data set that are wrong: a line that counts them, then one for each with its reason (exit code 2).

    Attributes:
        lines: The lines.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = tuple(" ".join(line.splitlines()) for line in lines)
        super().__init__("\n".join(self.lines))

    def __reduce__(self) -> tuple[type["DataError"], tuple[tuple[str, ...]]]:
        """Pickles the lines, so that an error of another process arrives as it was raised."""
        return DataError, (self.lines,)
