"""python -m compress.distill RUN [--teacher train|largest|FILE] [--loss NAME[=WEIGHT],...] [--features PLACE,...]:
trains the pruned network with a teacher, and undoes it when the network was better before. A network that was not
pruned has nothing to learn from `train`, itself: it is left as it is.

Every loss is added to the run's loss on the labels, with its weight. Of logits: kl (Hinton et al. 2015), cwd (Shu et
al. 2021), dist (Huang et al. 2022), skd (Liu et al. 2019), boundary (after Liu et al. 2023); of the layers that
--features names: dynamic or adaptive (nni's layerwise distillers). See `compress.distillation`.
"""

from compress.distillation.layer_distillation import PLACES
from compress.distillation.losses import TEACHING_TERMS
from compress.stages.cli import Parser
from compress.stages.command import stage_command
from compress.stages.distill import LOSS, distill


def flags(arguments: Parser) -> None:
    arguments.add_argument("--teacher", default="train", help="train (default), largest or a file")
    names = ", ".join(TEACHING_TERMS)
    arguments.add_argument("--loss", default=LOSS, help=f"{names}, each with =WEIGHT ({LOSS})")
    arguments.add_argument("--features", help=f"layers that dynamic or adaptive compare ({','.join(PLACES)})")


def main() -> None:
    stage_command("distill", __doc__, distill, flags)


if __name__ == "__main__":
    main()
