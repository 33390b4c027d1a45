"""What the stage commands do alike: read the flags, open the run folder, check what stands before, run the stage."""

from collections.abc import Callable
from pathlib import Path

from compress.stages.cli import Parser, parser, run_command
from compress.stages.records import before, require
from compress.stages.run import open_run
from compress.training.device import share_cores


def stage_command(
    stage: str, doc: str | None, body: Callable[..., object], flags: Callable[[Parser], None] | None = None
) -> None:
    """The `__main__` of a stage script: checks what stands before it, then runs `body(run, **flags)` on the folder
    named."""

    def main() -> None:
        arguments = parser(doc, f"compress.{stage}")
        arguments.add_argument("run", type=Path, metavar="RUN", help="a run folder, such as runs/landcover-30ms")
        if flags is not None:
            flags(arguments)
        given = vars(arguments.parse_args())
        share_cores()
        run = open_run(given.pop("run"))
        require(run, before(stage))
        body(run, **given)

    run_command(main)
