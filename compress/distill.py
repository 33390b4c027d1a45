"""python -m compress.distill RUN [--teacher train|largest|FILE] [--loss NAME[=WEIGHT],...]: trains the pruned network
with a teacher.

Every loss is added to the run's loss on the labels, with its weight: kl (Hinton et al. 2015), cwd (Shu et al.
2021), dist (Huang et al. 2022), skd (Liu et al. 2019), boundary (after Liu et al. 2023). See `compress.losses` and
`compress.teacher`.
"""

import time

from compress.cli import Parser
from compress.losses import DISTILLATION_TERMS, parse_terms
from compress.stage import Run, record_network, stage_command
from compress.teacher import Teaching, open_teacher
from compress.train import fit_network

LOSS = "kl"


def distill(run: Run, teacher: str = "train", loss: str = LOSS) -> None:
    begun = time.monotonic()
    terms = parse_terms(loss, DISTILLATION_TERMS)
    teaches, file = open_teacher(run, teacher)
    student, schedule = run.network("prune"), run.settings.schedules.distill
    teaching = Teaching(teaches, terms, f"{file} {terms}")
    fit_network(run, student, schedule, run.path / "distill", "distill", seed=4, teaching=teaching)
    record_network(run, "distill", student, begun, teacher=teacher, teacher_digest=file, loss=terms)
    (run.path / "distill" / "checkpoint.pt").unlink(missing_ok=True)


def flags(arguments: Parser) -> None:
    arguments.add_argument("--teacher", default="train", help="train (default), largest or a file")
    arguments.add_argument("--loss", default=LOSS, help=f"{', '.join(DISTILLATION_TERMS)}, each with =WEIGHT ({LOSS})")


def main() -> None:
    stage_command("distill", __doc__, distill, flags)


if __name__ == "__main__":
    main()
