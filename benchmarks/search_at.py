"""python benchmarks/search_at.py FOLDER [flags of nas.search]: a search whose run folder lies anywhere."""

from pathlib import Path

from compress.stages.cli import parser, run_command
from nas.search import add_search_flags, start


def main() -> None:
    arguments = parser(__doc__, "nas.search")
    arguments.add_argument("folder", type=Path, metavar="FOLDER", help="the run folder")
    add_search_flags(arguments)
    given = arguments.parse_args()
    start(given, given.folder)


if __name__ == "__main__":
    run_command(main)
