"""The flags of the stage commands: their defaults, their help texts and their checks."""

from dataclasses import dataclass
from math import isfinite

from compress.data.spec import expand_data
from compress.files.home import expand_home
from compress.stages.choices import (
    CALIBRATION_SPLIT_NAMES,
    DISTILLATION_LOSSES,
    FEATURE_PLACES,
    IMPORTANCE_NAMES,
    RANGE_ESTIMATORS,
)
from compress.stages.config import PRUNED_SHARE
from compress.stages.flags import check_choices, flag, flag_name
from compress.training.privacy import Privacy
from compress.training.term_weights import check_terms
from search_spaces.errors import InputError

GROUP = "how the stage works"
PRIVACY = "privacy (docs/privacy.md)"


@dataclass(frozen=True)
class PrivacyOptions:
    """Flags of trainings that can be differentially private.

    Attributes:
        dp_epsilon: The bound on what the network tells about an image; None for a training without one.
        dp_delta: The probability with which the bound need not hold; None for 1 / (10 * images).
        max_grad_norm: The norm to which the gradient of each image is clipped; None for 1.

    Raises:
        InputError: A value is wrong, or stands without --dp-epsilon; the line names the flag.
    """

    dp_epsilon: float | None = flag(
        PRIVACY, "train with differential privacy, and spend this much at most", None, type=float, unset="no privacy",
        metavar="E",
    )  # fmt: skip
    dp_delta: float | None = flag(
        PRIVACY, "probability with which the bound need not hold", None, type=float, unset="1 / (10 * images)",
        metavar="D",
    )  # fmt: skip
    max_grad_norm: float | None = flag(
        PRIVACY, "norm to which the gradient of each image is clipped", None, type=float,
        unset=f"{Privacy.max_grad_norm:g}", metavar="C",
    )  # fmt: skip

    def __post_init__(self) -> None:
        for name in ("dp_delta", "max_grad_norm"):
            value = getattr(self, name)
            if self.dp_epsilon is None and value is not None:
                raise InputError(f"{flag_name(name)} {value:g}: needs --dp-epsilon")
        _ = self.privacy  # refuses values out of range

    @property
    def privacy(self) -> Privacy | None:
        """The bound; None for a training without one."""
        if self.dp_epsilon is None:
            return None
        norm = Privacy.max_grad_norm if self.max_grad_norm is None else self.max_grad_norm
        return Privacy(self.dp_epsilon, self.dp_delta, norm)


@dataclass(frozen=True)
class TrainOptions(PrivacyOptions):
    """Flags of `compress.train`.

    Attributes:
        private_data: The data set that is trained on in place of the run's; empty for the run's own.

    Raises:
        InputError: A value is wrong, or stands without --dp-epsilon; the line names the flag.
    """

    private_data: str = flag(
        PRIVACY, "data set to train on, which no other stage reads", "", parse=expand_data, metavar="DATA",
        unset="the run's own, which the other stages read without noise",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.private_data and self.dp_epsilon is None:
            raise InputError(f"--private-data {self.private_data}: needs --dp-epsilon")


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
        calibration: The split whose images ranges are estimated from; empty for the default.

    Raises:
        InputError: A value is wrong; the line names the flag.
    """

    ranges: str = flag(GROUP, "how activation ranges are estimated", "moving-average", choices=RANGE_ESTIMATORS)
    qat_steps: int = flag(GROUP, "steps of training with int8 simulated", 0, type=int, metavar="N")
    max_drop: float = flag(GROUP, "mIoU that int8 may cost before layers run in float", 0.003, type=float)
    calibration: str = flag(
        GROUP, "images that ranges are estimated from", "", choices=("", *CALIBRATION_SPLIT_NAMES),
        unset="train; val after a private training on the same images",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_choices(self)
        if self.qat_steps < 0:
            raise InputError(f"--qat-steps {self.qat_steps}: give 0 or a positive number")
        if not 0 <= self.max_drop <= 1:
            raise InputError(f"--max-drop {self.max_drop:g}: give a fraction of 0 to 1")
