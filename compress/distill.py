"""python -m compress.distill RUN: trains the pruned network with the network it was pruned from as its teacher."""

import time

from compress.stage import Run, record_network, stage_command
from compress.train import fit_network


def distill(run: Run) -> None:
    begun = time.monotonic()
    student, teacher = run.network("prune"), run.network("train")
    fit_network(run, student, run.settings.schedules.distill, run.path / "distill", "distill", seed=4, teacher=teacher)
    record_network(run, "distill", student, begun)
    (run.path / "distill" / "checkpoint.pt").unlink(missing_ok=True)


if __name__ == "__main__":
    stage_command("distill", __doc__, distill)
