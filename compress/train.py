"""python -m compress.train RUN: trains the search's winner, starting from the weights it had after the search.

A winner that need not be pruned is trained for the steps of recovery and distillation too, because it has no better
teacher than itself: all steps at once are worth more (benchmarks/stages.md).
"""

from compress.stages.cli import run_command
from compress.stages.command import stage_command
from compress.stages.options import TrainOptions

COMMAND = stage_command("train", __doc__, TrainOptions)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
