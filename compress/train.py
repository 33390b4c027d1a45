"""python -m compress.train RUN: trains the search's winner, starting from the weights it had in the supernet.

One that need not be pruned is trained for the steps of recovery and distillation too, for it has no better teacher than
itself: all steps at once are worth more (benchmarks/stages.md).
"""

from compress.stages.command import stage_command
from compress.stages.train import train

if __name__ == "__main__":
    stage_command("train", __doc__, train)
