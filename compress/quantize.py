"""python -m compress.quantize RUN [--ranges NAME] [--qat-steps N] [--max-drop MIOU]: converts the distilled network to
TFLite and quantizes it to int8 with real images.

Leaves RUN/quantize/model.float.tflite and model.tflite, whose mIoU and latency are those of the files as run by
LiteRT. network.pt is the float network that the int8 file was made from: the distilled one, or with --qat-steps that
one trained on with int8 simulated. Every op of the int8 file is int8, or the stage fails and names the op. Only when
int8 costs more than --max-drop do the worst layers run in float, one at a time, each named with what it costs.
"""

from compress.stages.cli import run_command
from compress.stages.command import stage_command
from compress.stages.options import QuantizeOptions

COMMAND = stage_command("quantize", __doc__, QuantizeOptions)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
