"""slimlab COMMAND ...: every command under one name. `slimlab search` is `python -m nas.search`, and so on.

Tab completes commands and flags where the extra slimlab[completion] is installed and the shell was told so:
eval "$(register-python-argcomplete slimlab)".
"""

# PYTHON_ARGCOMPLETE_OK
import argparse
import os
from importlib import import_module
from typing import NoReturn

from compress.stages.cli import Command, Parser, run_command

# by the name that the console script gives them, in the order of a project
COMMANDS = {
    "search": "nas.search",
    "recipe": "nas.recipe",
    "latency": "nas.latency",
    "check": "compress.check",
    "train": "compress.train",
    "federate": "compress.federate",
    "prune": "compress.prune",
    "distill": "compress.distill",
    "quantize": "compress.quantize",
    "export": "compress.export",
    "verify": "compress.verify",
    "report": "nas.report",
    "delegates": "compress.delegates",
    "predict": "compress.predict",
    "demo": "compress.demo",
    "android": "compress.android",
    "ios": "compress.ios",
    "worker": "nas.worker",
    "storage": "nas.storage",
}


def console_parser() -> Parser:
    """The parser of the console script.

    Returns:
        A parser with a sub-parser for each command.
    """
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="slimlab", description=__doc__, formatter_class=raw)
    verbs = parser.add_subparsers(dest="slimlab_command", required=True, metavar="COMMAND", title="commands")
    for name, module in COMMANDS.items():
        command: Command = import_module(module).COMMAND
        about = " ".join((command.doc or "").split()).partition(": ")[2].partition(". ")[0]
        command.add_arguments(verbs.add_parser(name, help=about, description=command.doc, formatter_class=raw))
    return parser


def run_console() -> None:
    """Reads the command line and runs the command that it names."""
    parser = console_parser()
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)
    given = parser.parse_args()
    module = COMMANDS[vars(given).pop("slimlab_command")]
    import_module(module).COMMAND.call(given)


def main() -> NoReturn:
    """The console script `slimlab`."""
    run_command(run_console)


if __name__ == "__main__":
    main()
