"""python -m compress.prune RUN [--target-ms MS] [--importance NAME] [--rounds N]: narrows the trained network until the
table says it is fast enough; one that is already is left as it is.

Channels go in eights, each time where the milliseconds saved per importance lost are most. Groups of
coupled channels and their importance are torch-pruning's (DepGraph, Fang et al. 2023; `compress.pruning.importances`).
With --rounds the way to the target is cut into as many steps of equal ratio, each followed by recovery training; a step
that does not lower the latency measured on the target is undone. The result is a narrower genotype and plain weights.
"""

from compress.pruning.importances import DEFAULT_IMPORTANCE, IMPORTANCES
from compress.stages.cli import Parser
from compress.stages.command import stage_command
from compress.stages.config import PRUNED_SHARE
from compress.stages.prune import prune


def flags(arguments: Parser) -> None:
    arguments.add_argument(
        "--target-ms", type=float, help=f"predicted latency to reach (default: {PRUNED_SHARE} of the budget)"
    )
    arguments.add_argument(
        "--importance", choices=IMPORTANCES, default=DEFAULT_IMPORTANCE, help="what a channel is worth"
    )
    arguments.add_argument("--rounds", type=int, default=1, help="steps of cutting and recovery training")


def main() -> None:
    stage_command("prune", __doc__, prune, flags)


if __name__ == "__main__":
    main()
