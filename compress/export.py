"""python -m compress.export RUN: puts model.tflite, model.float.tflite, model.onnx and model.json into RUN and
verifies them."""

from compress.stages.command import stage_command
from compress.stages.export import export

if __name__ == "__main__":
    stage_command("export", __doc__, export)
