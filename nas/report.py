"""python -m nas.report RUN [RUN ...]: one self-contained HTML page of a run, or one that compares several.

Of one run: RUN/report.html with candidates, stages, files, classes and pictures. result.json is written anew from the
stages, because some may have been run again since. Of two or more: a page that sets their budgets, latencies, mIoU,
sizes, classes and candidates side by side. It is written to --out, and the runs are only read.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from compress.stages.cli import Command, run_command
from compress.stages.config_file import read_config
from compress.stages.flag_values import expand_path
from search_spaces.errors import InputError

COMPARISON = Path("runs/compare.html")


def add_arguments(arguments: argparse.ArgumentParser) -> None:
    """Adds the flags.

    Args:
        arguments: The command's parser.
    """
    what = "a finished run folder, such as runs/landcover-30ms; two or more are compared"
    arguments.add_argument("runs", type=expand_path, nargs="+", metavar="RUN", help=what)
    arguments.add_argument("--out", type=expand_path, help=f"the page that compares runs (default: {COMPARISON})")


def run(given: argparse.Namespace) -> None:
    """Writes RUN/result.json and RUN/report.html, or the page that compares runs.

    Args:
        given: The flags.

    Raises:
        InputError: A run is not finished or given twice, or --out is given for a single run.
    """
    check_paths(given.runs, given.out)
    for path in given.runs:
        read_config(path)  # a folder that is no run is refused before anything heavy is imported

    from compress.stages.records import require
    from compress.stages.run import open_run
    from compress.training.device import share_cores
    from nas.pages.compare_page import Compared, write_comparison
    from nas.pages.report_page import write_report
    from nas.result import make_result, write_result

    share_cores()
    opened = [open_run(path) for path in given.runs]
    for one in opened:
        require(one, "export")
    if len(opened) == 1:
        write_report(opened[0], write_result(opened[0]))
        print(opened[0].path / "report.html")
    else:
        out = given.out or COMPARISON
        write_comparison([Compared(one, make_result(one), one.metrics("export")) for one in opened], out)
        print(out)


def check_paths(paths: Sequence[Path], out: Path | None) -> None:
    """Refuses what cannot be compared.

    Args:
        paths: The run folders.
        out: The value of --out.

    Raises:
        InputError: A folder is given twice, --out is given for a single run, or --out is a folder.
    """
    if len(paths) == 1 and out is not None:
        raise InputError(f"--out {out}: the page of a single run is RUN/report.html; give two or more runs to compare")
    for i, path in enumerate(paths):
        if path.resolve() in (other.resolve() for other in paths[:i]):
            raise InputError(f"{path}: the run is given twice; give each run once")
    if out is not None and out.is_dir():
        raise InputError(f"--out {out}: this is a folder; give a file, such as {out / 'compare.html'}")


COMMAND = Command("nas.report", __doc__, add_arguments, run)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
