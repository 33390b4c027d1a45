"""The progress bars of trainings. Trainings that run side by side have a line of the terminal each."""

from tqdm import tqdm

_line = 0  # of this process's bars, below the cursor


def use_line(number: int) -> None:
    """Has the bars of this process on a line of their own.

    Args:
        number: The line, counted from 0.
    """
    global _line
    _line = number


def training_bar(title: str, steps: int, done: int, shown: bool = True) -> "tqdm[object]":
    """Opens the progress bar of a training.

    Args:
        title: What the training is called.
        steps: The steps of the whole training.
        done: The steps that were taken before.
        shown: Whether it is drawn.

    Returns:
        The bar, to be closed after the last step.
    """
    return tqdm(
        total=steps, initial=done, desc=title, unit="step", dynamic_ncols=True, disable=not shown, position=_line
    )
