"""python -m compress.prune RUN [--target-ms MS] [--importance NAME] [--rounds N]: removes channels of the trained
network until the table says it is fast enough. A network that is fast enough already is left as it is.

Channels go in eights, each time where the milliseconds saved per importance lost are most. Groups of
coupled channels and their importance are torch-pruning's (DepGraph, Fang et al. 2023; `compress.pruning.importances`).
With --rounds the way to the target is cut into as many steps of equal ratio, each followed by recovery training. A step
that does not lower the latency measured on the target is undone. The result is a narrower genotype and plain weights.
"""

from compress.stages.cli import run_command
from compress.stages.command import stage_command
from compress.stages.options import PruneOptions

COMMAND = stage_command("prune", __doc__, PruneOptions)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
