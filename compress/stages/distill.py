"""Python -m compress.distill RUN [--teacher train|largest|FILE] [--loss NAME[=WEIGHT],...] [--features PLACE,...]:
trains the pruned network with a teacher, and undoes it when the network was better before. A network that was not
pruned has nothing to learn from `train`, itself: it is left as it is.

Every loss is added to the run's loss on the labels, with its weight. Of logits: kl (Hinton et al. 2015), cwd (Shu et
al. 2021), dist (Huang et al. 2022), skd (Liu et al. 2019), boundary (after Liu et al. 2023); of the layers that
--features names: dynamic or adaptive (nni's layerwise distillers). See `compress.distillation`.
"""

import time

from compress.distillation.losses import TEACHING_TERMS
from compress.stages.fitting import fit_network
from compress.stages.run import Run, record_network
from compress.stages.teaching import open_teaching
from compress.training.terms import parse_terms

LOSS = "cwd"


def distill(run: Run, teacher: str = "train", loss: str = LOSS, features: str | None = None) -> None:
    begun = time.monotonic()
    terms = parse_terms(loss, TEACHING_TERMS)
    student, schedule, folder = run.network("prune"), run.settings.schedules.distill, run.path / "distill"
    teaching, file = open_teaching(run, student, teacher, terms, features, folder)
    given = run.network("prune")
    kept, miou = given, run.miou(given)
    taught_miou: float | None = None
    if teacher == "train" and given.genotype == run.network("train").genotype:
        print("distill: nothing was pruned, so the network has no teacher but itself; --teacher may name another")
    else:
        fit_network(run, student, schedule, folder, "distill", seed=4, teaching=teaching)
        taught_miou = run.miou(student)
        if taught_miou < miou:
            print(f"distill: undone: mIoU {taught_miou:.4f} on the validation split, {miou:.4f} before")
        else:
            kept, miou = student, taught_miou
    figures = {"taught_miou": taught_miou, "undone": taught_miou is not None and kept is given}
    asked = {"teacher": teacher, "teacher_digest": file, "loss": terms, "features": features}
    record_network(run, "distill", kept, miou, begun, **asked, **figures)
    (folder / "checkpoint.pt").unlink(missing_ok=True)
