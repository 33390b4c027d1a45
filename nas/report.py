"""python -m nas.report RUN: one self-contained HTML page of a run: candidates, stages, pictures.

result.json is written anew from the stages, of which some may have been run again since.
"""

from pathlib import Path

from compress.stages.cli import parser, run_command
from compress.stages.records import require
from compress.stages.run import open_run
from nas.report_page import write_report
from nas.result import write_result


def main() -> None:
    """Checks the run and writes its result.json and report.html.

    Raises:
        InputError: When a stage is missing, half-written or made from another one.
    """
    flags = parser(__doc__, "nas.report")
    flags.add_argument("run", type=Path, metavar="RUN", help="a finished run folder, such as runs/landcover-30ms")
    run = open_run(flags.parse_args().run)
    require(run, "export")
    write_report(run, write_result(run))
    print(run.path / "report.html")


if __name__ == "__main__":
    run_command(main)
