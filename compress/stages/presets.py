"""Presets: how long each part of a run takes, how many candidates are scored, how many finalists are measured.

A preset holds training plans, which have no learning rate schedule and no moving average. Those are the run's own
(`RunConfig.lr_schedule`, `RunConfig.ema`), so a preset cannot name a value that has no effect.
"""

from dataclasses import dataclass, replace

from compress.training.plan import TrainingPlan


@dataclass(frozen=True)
class Preset:
    """How long each part of a run takes.

    Attributes:
        supernet: training of the supernet.
        candidate: training of each candidate with `--strategy train`.
        train: training of the finalists, each by itself.
        recover: training after each cut of channel pruning.
        distill: training with a teacher.
        trials: candidates that are scored.
        finalists: candidates that are measured on the target.
        rungs: steps of `train` after which finalists are compared. After the last rung two go on to the end, after
            each one before it the better half does.
    """

    supernet: TrainingPlan
    candidate: TrainingPlan
    train: TrainingPlan
    recover: TrainingPlan
    distill: TrainingPlan
    trials: int
    finalists: int
    rungs: tuple[int, ...]


def long_training(steps: int, batch: int, crop: int) -> TrainingPlan:
    """A training that decides how good the shipped network is.

    Args:
        steps: optimizer steps.
        batch: crops of one step.
        crop: side of a crop in pixels.

    Returns:
        The plan, with a lower rate and more weight decay than usual.
    """
    return TrainingPlan(steps, batch, crop, lr=2e-3, weight_decay=0.05)


# seconds in all; for tests and a first try, its accuracy means nothing
TOY = Preset(
    supernet=TrainingPlan(4, 4, 64),
    candidate=TrainingPlan(6, 2, 64),
    train=TrainingPlan(4, 2, 64),
    recover=TrainingPlan(2, 2, 64),
    distill=TrainingPlan(2, 2, 64),
    trials=4,
    finalists=2,
    rungs=(2, 3),
)
# some twenty minutes on two cores
QUICK = Preset(
    supernet=TrainingPlan(200, 8, 128),
    candidate=TrainingPlan(120, 16, 128),
    train=long_training(400, 16, 128),
    recover=TrainingPlan(40, 16, 128, lr=1e-3),
    distill=long_training(360, 16, 128),
    trials=40,
    finalists=3,
    rungs=(80, 200),
)
# an hour or two on two cores
STANDARD = Preset(
    supernet=TrainingPlan(600, 8, 192),
    candidate=TrainingPlan(400, 8, 192),
    train=long_training(3000, 8, 256),
    recover=TrainingPlan(200, 8, 256, lr=1e-3),
    distill=long_training(2000, 8, 256),
    trials=80,
    finalists=6,
    rungs=(240, 600),
)
# the same search as standard, then trainings that take minutes on a CUDA device
BEST = replace(
    STANDARD,
    train=long_training(7000, 16, 352),
    recover=TrainingPlan(1000, 16, 352, lr=1e-3),
    distill=long_training(4000, 16, 352),
    finalists=12,
    rungs=(300, 1200),
)
PRESETS = {"toy": TOY, "quick": QUICK, "standard": STANDARD, "best": BEST}
