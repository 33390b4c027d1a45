"""python -m compress.check DATA: says what a data set holds and what is wrong with it, before anything is trained.

DATA is what `nas.search --data` takes, such as folder:DIR. Every file is read. Faults are listed on stderr, a line for
each file, with exit code 2. Without faults a summary is printed: pairs, sizes, bands, classes with their shares of the
labelled pixels, files that are not used, copies. With --preview some images and their masks are drawn.
"""

from pathlib import Path

from compress.data.layouts import LAYOUTS
from compress.stages.cli import parser, run_command


def main() -> None:
    """Runs the command."""
    arguments = parser(__doc__, "compress.check")
    arguments.add_argument("data", metavar="DATA", help=", ".join(LAYOUTS.values()))
    arguments.add_argument("--input-size", help="512 or HEIGHTxWIDTH: says what the data set takes at this size")
    arguments.add_argument("--seed", type=int, default=0, help="draws the split of a folder that has none")
    arguments.add_argument("--preview", type=Path, metavar="FILE.png", help="draws some images with their masks")
    given = arguments.parse_args()

    from compress.data.check import check
    from compress.data.dataset import open_data
    from compress.data.preview import draw_preview, require_png
    from compress.data.summary import describe_data, describe_input_size
    from compress.stages.config import parse_input_size

    input_size = parse_input_size(given.input_size) if given.input_size else None
    if given.preview is not None:
        require_png(given.preview)
    data = open_data(given.data, given.seed)
    findings = check(data)
    print(describe_data(data, findings))
    if input_size is not None:
        print(describe_input_size(data, input_size))
    if given.preview is not None:
        draw_preview(data, given.preview)
        print(f"preview: {given.preview}")


if __name__ == "__main__":
    run_command(main)
