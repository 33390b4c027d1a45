"""python -m compress.distill RUN [--teacher train|largest|FILE] [--loss NAME[=WEIGHT],...] [--features PLACE,...]:
trains the pruned network with a teacher. The training is undone when the network was better before. A network that was
not pruned has nothing to learn from the teacher `train`, which is the network itself: it is left as it is.

Every loss is added to the run's loss on the labels, with its weight. Of logits: kl (Hinton et al. 2015), cwd (Shu et
al. 2021), dist (Huang et al. 2022), skd (Liu et al. 2019), boundary (after Liu et al. 2023). Of the layers that
--features names: dynamic or adaptive (nni's layerwise distillers). See `compress.distillation`.
"""

from compress.stages.cli import run_command
from compress.stages.command import stage_command
from compress.stages.options import DistillOptions

COMMAND = stage_command("distill", __doc__, DistillOptions)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
