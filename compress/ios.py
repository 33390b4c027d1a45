"""python -m compress.ios RUN [--out DIR] [--images N]: Core ML packages of a run's network and a SwiftUI sample.

Three packages: float16, int8 weights, int8 weights and values with the ranges of the int8 file. Each takes an RGB
picture and gives the class map, with labels and colours for Xcode's preview. Each is run on validation images here, by
an interpreter of its program, and held to model.tflite.
"""

from pathlib import Path

from compress.stages.cli import parser, run_command

IMAGES = 8


def main() -> None:
    """Reads the flags, writes the packages and prints what was found."""
    flags = parser(__doc__, "compress.ios")
    flags.add_argument("run", type=Path, metavar="RUN", help="a run folder, such as runs/landcover-30ms")
    flags.add_argument("--out", type=Path, help="folder of packages and sample (default: RUN/ios)")
    flags.add_argument("--images", type=int, default=IMAGES, help=f"validation images to check on ({IMAGES})")
    given = flags.parse_args()
    from compress.stages.ios import ios  # the parser must not wait for torch

    ios(given.run, given.out or given.run / "ios", given.images)


if __name__ == "__main__":
    run_command(main)
