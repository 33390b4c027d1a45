"""What a run was asked to do. `nas.search` writes it to RUN/config.json; every stage script reads it there."""

import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from math import isfinite
from typing import Any

from compress.data.augmentation import AUGMENTS
from compress.latency.targets import Target, open_target
from compress.training.label_losses import CLASS_WEIGHTS, LABEL_TERMS
from compress.training.schedule import LR_SCHEDULES, Schedule
from compress.training.terms import parse_terms
from search_spaces import get_space
from search_spaces.errors import InputError


@dataclass(frozen=True)
class Preset:
    """How long each part takes: training schedules (`candidate` is that of `--strategy train`, `finalist` that of a
    supernet's best candidates), candidates scored, finalists measured on the target."""

    supernet: Schedule
    candidate: Schedule
    finalist: Schedule
    train: Schedule
    recover: Schedule
    distill: Schedule
    trials: int
    finalists: int


# an hour or two on two cores
STANDARD = Preset(
    Schedule(600, 8, 192), Schedule(400, 8, 192), Schedule(120, 16, 192, lr=2e-3, weight_decay=0.05),
    Schedule(3500, 8, 256, lr=2e-3, weight_decay=0.05), Schedule(200, 8, 256, lr=1e-3),
    Schedule(2000, 8, 256, lr=2e-3, weight_decay=0.05), 80, 6,
)  # fmt: skip
PRESETS = {
    # seconds in all; for tests and first looks, its accuracy means nothing
    "toy": Preset(
        Schedule(4, 4, 64), Schedule(6, 2, 64), Schedule(2, 2, 64), Schedule(4, 2, 64), Schedule(2, 2, 64),
        Schedule(2, 2, 64), 4, 2,
    ),
    "quick": Preset(
        Schedule(400, 8, 128), Schedule(120, 16, 128), Schedule(60, 16, 128, lr=2e-3, weight_decay=0.05),
        Schedule(700, 16, 128, lr=2e-3, weight_decay=0.05), Schedule(40, 16, 128, lr=1e-3),
        Schedule(460, 16, 128, lr=2e-3, weight_decay=0.05), 40, 4,
    ),
    "standard": STANDARD,
    # after the same search, minutes on a CUDA device
    "best": replace(
        STANDARD,
        finalist=Schedule(300, 16, 352, lr=2e-3, weight_decay=0.05),
        train=Schedule(9000, 16, 352, lr=2e-3, weight_decay=0.05),
        recover=Schedule(1000, 16, 352, lr=1e-3),
        distill=Schedule(4000, 16, 352, lr=2e-3, weight_decay=0.05),
        finalists=12,
    ),
}  # fmt: skip

PRUNED_SHARE = 0.95  # of the budget: table and target may differ by some percent


@dataclass(frozen=True)
class Settings:
    """`budget_ms` in milliseconds on `target`; `input_size` (H, W). From `loss` on, how networks are trained
    (docs/training.md); `weights` is a file or empty. Raises InputError that names the flag."""

    budget_ms: float
    data: str = "landcover"
    target: str = "host"
    threads: int = 1
    input_size: tuple[int, int] = (512, 512)
    space: str = "deeplabv3plus"
    preset: str = "quick"
    seed: int = 0
    loss: str = "ce"
    class_weights: str = "root"
    schedule: str = "one-cycle"
    ema: float = 0.0
    augment: str = "photo"
    weights: str = ""

    def __post_init__(self) -> None:
        if not (isfinite(self.budget_ms) and self.budget_ms > 0):
            raise InputError(f"--budget-ms {self.budget_ms}: give a positive number of milliseconds, such as 30")
        for flag, value, choices in (
            ("--preset", self.preset, PRESETS),
            ("--class-weights", self.class_weights, CLASS_WEIGHTS),
            ("--schedule", self.schedule, LR_SCHEDULES),
            ("--augment", self.augment, AUGMENTS),
        ):
            if value not in choices:
                raise InputError(f"{flag} {value}: choose from {', '.join(choices)}")
        parse_terms(self.loss, LABEL_TERMS)
        if not 0 <= self.ema < 1:
            raise InputError(f"--ema {self.ema:g}: give a decay from 0 (none) to below 1, such as 0.999")
        if min(self.input_size) < 64 or max(self.input_size) > 4096:
            raise InputError(f"--input-size {self.input_size[0]}x{self.input_size[1]}: sides of 64 to 4096 pixels")
        if self.seed < 0:
            raise InputError(f"--seed {self.seed}: give 0 or a positive whole number")
        get_space(self.space)
        self.open_target()

    @property
    def pruned_ms(self) -> float:
        """The predicted latency, ms, to which networks are pruned unless `--target-ms` says otherwise."""
        return PRUNED_SHARE * self.budget_ms

    @property
    def schedules(self) -> Preset:
        """The preset's, with the learning-rate schedule and the moving average of the weights that were asked for."""
        preset = PRESETS[self.preset]
        parts: dict[str, Any] = {field.name: getattr(preset, field.name) for field in fields(Preset)}
        for name, part in parts.items():
            if isinstance(part, Schedule):
                parts[name] = replace(part, lr_schedule=self.schedule, ema=self.ema)
        return Preset(**parts)

    def open_target(self, reference_ms: float | None = None) -> Target:
        return open_target(self.target, self.threads, reference_ms)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "input_size": list(self.input_size)}

    @staticmethod
    def from_dict(value: Mapping[str, Any], name: str) -> "Settings":
        """What an older version did not write has its default. Raises InputError, naming the file, for anything else
        that is missing or wrong."""
        try:
            known = {**DEFAULTS, **value}
            height, width = value["input_size"]
            return Settings(**{**{f.name: known[f.name] for f in fields(Settings)}, "input_size": (height, width)})
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{name}: not the settings of a run ({error}); start the run anew") from error


DEFAULTS = {field.name: field.default for field in fields(Settings) if field.default is not MISSING}


def parse_input_size(text: str) -> tuple[int, int]:
    """`512` or `HxW`, as (H, W)."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if not match:
        raise InputError(f"--input-size {text}: give 512 or HEIGHTxWIDTH, such as 360x480")
    return int(match[1]), int(match[2] or match[1])
