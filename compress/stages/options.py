"""The flags of the stage commands: their defaults, their help texts and their checks."""

from dataclasses import dataclass
from math import isfinite

from compress.files.home import expand_home
from compress.stages.choices import (
    DISTILLATION_LOSSES,
    FEATURE_PLACES,
    IMPORTANCE_NAMES,
    RANGE_ESTIMATORS,
)
from compress.stages.config import PRUNED_SHARE
from compress.stages.flags import check_choices, flag
from compress.training.term_weights import check_terms
from search_spaces.errors import InputError

GROUP = "how the stage works"


@dataclass(frozen=True)
class PruneOptions:
    """Flags of `compress.prune`.

    Attributes:
        target_ms: The predicted latency to reach, in ms; None for PRUNED_SHARE of the budget.
        importance: What a channel is worth.
        rounds: Steps of cutting and recovery training.

    Raises:
        InputError: A value is wrong; the line names the flag.
    """

    target_ms: float | None = flag(
        GROUP, "predicted latency to reach, in ms", None, type=float, unset=f"{PRUNED_SHARE} of the budget",
        metavar="MS",
    )  # fmt: skip
    importance: str = flag(GROUP, "what a channel is worth", "taylor", choices=IMPORTANCE_NAMES)
    rounds: int = flag(GROUP, "steps of cutting and recovery training", 1, type=int, metavar="N")

    def __post_init__(self) -> None:
        check_choices(self)
        if self.target_ms is not None and not (self.target_ms > 0 and isfinite(self.target_ms)):
            raise InputError(f"--target-ms {self.target_ms:g}: give a positive number of milliseconds")
        if self.rounds < 1:
            raise InputError(f"--rounds {self.rounds}: give a positive number")


@dataclass(frozen=True)
class DistillOptions:
    """Flags of `compress.distill`.

    Attributes:
        teacher: `train`, `largest` or a file.
        loss: Losses between student and teacher, with their weights.
        features: Places whose layers are compared, separated by commas; None for all.

    Raises:
        InputError: A value is wrong; the line names the flag.
    """

    teacher: str = flag(
        GROUP, "train (the network before pruning), largest (of the search) or a file", "train", parse=expand_home
    )
    loss: str = flag(
        GROUP, "losses added up, each with its weight, such as kl,cwd=3", "cwd", listed=", ".join(DISTILLATION_LOSSES)
    )
    features: str | None = flag(
        GROUP, "places whose layers dynamic or adaptive compare, separated by commas", None,
        unset=",".join(FEATURE_PLACES), metavar="PLACE,...",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_terms(self.loss, DISTILLATION_LOSSES)
        for place in self.features.split(",") if self.features is not None else ():
            if place.strip() not in FEATURE_PLACES:
                raise InputError(
                    f"--features {self.features}: {place!r} is none; choose from {', '.join(FEATURE_PLACES)}"
                )


@dataclass(frozen=True)
class QuantizeOptions:
    """Flags of `compress.quantize`.

    Attributes:
        ranges: How activation ranges are estimated.
        qat_steps: Steps of training with int8 simulated.
        max_drop: The mIoU (a fraction of 1) that int8 may cost before layers run in float.

    Raises:
        InputError: A value is wrong; the line names the flag.
    """

    ranges: str = flag(GROUP, "how activation ranges are estimated", "moving-average", choices=RANGE_ESTIMATORS)
    qat_steps: int = flag(GROUP, "steps of training with int8 simulated", 0, type=int, metavar="N")
    max_drop: float = flag(GROUP, "mIoU that int8 may cost before layers run in float", 0.003, type=float)

    def __post_init__(self) -> None:
        check_choices(self)
        if self.qat_steps < 0:
            raise InputError(f"--qat-steps {self.qat_steps}: give 0 or a positive number")
        if not 0 <= self.max_drop <= 1:
            raise InputError(f"--max-drop {self.max_drop:g}: give a fraction of 0 to 1")
