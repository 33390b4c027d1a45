"""The commands of the stages: read the flags, open the run folder, check what stands before, run the stage."""

import argparse
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from compress.stages.cli import GOES_ON, Command
from compress.stages.config_file import read_config
from compress.stages.flag_values import expand_path
from compress.stages.flags import add_flags, values_of


def add_run_argument(arguments: argparse.ArgumentParser, what: str = "a run folder") -> None:
    """Adds the argument RUN, a run folder.

    Args:
        arguments: The command's parser.
        what: What the help text calls it.
    """
    arguments.add_argument("run", type=expand_path, metavar="RUN", help=f"{what}, such as runs/landcover-30ms")


def add_model_argument(arguments: argparse.ArgumentParser) -> None:
    """Adds the model that a command takes.

    Args:
        arguments: The command's parser.
    """
    what = "a run folder, or a file with model.json"
    arguments.add_argument("model", type=expand_path, metavar="RUN|MODEL.tflite", help=what)


def add_show_bands_argument(arguments: argparse.ArgumentParser) -> None:
    """Adds the bands that pictures show.

    Args:
        arguments: The command's parser.
    """
    what = "bands that pictures show as red, green and blue, by name or number (default: the visible ones)"
    arguments.add_argument("--show-bands", metavar="R,G,B", help=what)


def stage_command(stage: str, doc: str | None, options: type | None = None) -> Command:
    """The command of a stage. It runs the function of the stage's name in `compress.stages.STAGE`.

    Args:
        stage: The stage's name.
        doc: The description that `--help` prints.
        options: A dataclass whose fields are the command's flags and the function's arguments.

    Returns:
        The command.
    """

    def add_arguments(arguments: argparse.ArgumentParser) -> None:
        add_run_argument(arguments)
        if options is not None:
            add_flags(arguments, options)

    def run(given: argparse.Namespace) -> None:
        path: Path = given.run
        chosen: Any = options(**values_of(options, vars(given))) if options is not None else None
        read_config(path)  # a folder that is no run is refused before anything heavy is imported

        from compress.stages.records import require
        from compress.stages.run import open_run
        from compress.training.device import share_cores

        body = getattr(import_module(f"compress.stages.{stage}"), stage)
        share_cores()
        opened = open_run(path)
        require(opened, opened.before(stage))
        body(opened, **(asdict(chosen) if options is not None else {}))

    return Command(f"compress.{stage}", doc, add_arguments, run, GOES_ON)
