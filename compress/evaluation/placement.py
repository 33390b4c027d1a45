"""What an accelerator does with a file."""

from dataclasses import dataclass

ACCELERATORS = "accelerators.json"  # in a run folder: the last table that compress.delegates made, for the report
RUN, COMPILED, PUBLISHED, NOT_TRIED = "run here", "compiled here", "published list", "not tried"


@dataclass(frozen=True)
class Placement:
    """What one accelerator does with a file.

    Attributes:
        accelerator: Its name.
        source: How this is known: RUN, COMPILED, PUBLISHED or NOT_TRIED.
        left: How many ops of each kind it leaves over, by the schema's name; None where it was not tried.
        parts: The number of parts into which the graph is cut for it; None where nothing tells.
        seconds: How long finding out took.
        note: What else there is to say.
    """

    accelerator: str
    source: str
    left: dict[str, int] | None
    parts: int | None = None
    seconds: float = 0.0
    note: str = ""
