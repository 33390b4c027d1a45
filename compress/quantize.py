"""python -m compress.quantize RUN [--ranges NAME] [--qat-steps N] [--max-drop MIOU]: converts the distilled network to
TFLite and quantizes it to int8 with real images.

Leaves RUN/quantize/model.float.tflite and model.tflite, whose mIoU and latency are those of the files as run by
LiteRT, and network.pt, the float network that the int8 file was made from: the distilled one, or with --qat-steps that
one trained on with int8 simulated. Every op of the int8 file is int8, or the stage fails and names the op; only when
int8 costs more than --max-drop do the worst layers run in float, one at a time, each named with what it costs.
"""

from compress.stages.cli import Parser
from compress.stages.command import stage_command
from compress.stages.quantize import MAX_DROP, quantize
from compress.tflite.ranges import DEFAULT_ESTIMATOR, ESTIMATORS


def flags(arguments: Parser) -> None:
    arguments.add_argument(
        "--ranges", choices=ESTIMATORS, default=DEFAULT_ESTIMATOR, help=f"range estimator ({DEFAULT_ESTIMATOR})"
    )
    arguments.add_argument("--qat-steps", type=int, default=0, help="steps of training with int8 simulated (0)")
    arguments.add_argument("--max-drop", type=float, default=MAX_DROP, help=f"mIoU int8 may cost ({MAX_DROP})")


def main() -> None:
    stage_command("quantize", __doc__, quantize, flags)


if __name__ == "__main__":
    main()
