"""python -m compress.export RUN: puts model.tflite, its variants for other runtimes and model.json into RUN and
verifies them.

docs/deploy.md says which runtime takes which file.
"""

from compress.stages.cli import run_command
from compress.stages.command import stage_command

COMMAND = stage_command("export", __doc__)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
