"""python -m nas.report RUN: one self-contained HTML page of a run: candidates, stages, pictures.

result.json is written anew from the stages, because some may have been run again since.
"""

import argparse
from functools import partial

from compress.stages.cli import Command, run_command
from compress.stages.command import add_run_argument
from compress.stages.config_file import read_config


def run(given: argparse.Namespace) -> None:
    """Writes RUN/result.json and RUN/report.html.

    Args:
        given: The flags.
    """
    path = given.run.expanduser()
    read_config(path)  # a folder that is no run is refused before anything heavy is imported

    from compress.stages.records import require
    from compress.stages.run import open_run
    from compress.training.device import share_cores
    from nas.report_page import write_report
    from nas.result import write_result

    share_cores()
    opened = open_run(path)
    require(opened, "export")
    write_report(opened, write_result(opened))
    print(path / "report.html")


COMMAND = Command("nas.report", __doc__, partial(add_run_argument, what="a finished run folder"), run)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
