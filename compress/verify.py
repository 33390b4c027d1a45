"""python -m compress.verify RUN: runs the exported files themselves on the validation split and measures them.

The int8 file by the LiteRT interpreter: mIoU, median latency, number of int8 ops, agreement with the torch network it
was made from (share of pixels of the same class), in float and with int8 simulated. The ONNX file by ONNX Runtime:
agreement.
"""

from pathlib import Path

from compress.files.records import write_json
from compress.stages.cli import parser, run_command
from compress.stages.records import require
from compress.stages.run import open_run
from compress.stages.verify import verify


def main() -> None:
    arguments = parser(__doc__, "compress.verify")
    arguments.add_argument("run", type=Path, metavar="RUN", help="a run folder, such as runs/landcover-30ms")
    run = open_run(arguments.parse_args().run)
    require(run, "export")
    found = verify(run)
    write_json(run.path / "export" / "verify.json", found)
    for name, value in found.items():
        print(f"{name:26} {value:.4f}" if isinstance(value, float) else f"{name:26} {value}")


if __name__ == "__main__":
    run_command(main)
