"""The two ways a command ends early: each becomes one line on stderr and an exit code."""


class InputError(ValueError):
    """Bad input. The message names the file, value or flag and the remedy (exit code 2)."""


class BudgetError(InputError):
    """No network of the space meets the latency budget (exit code 3)."""
