"""How a search goes about it. With `compress.stages.config.Settings` it is all of a run's config.json."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any

from nas.problem import Constraints
from nas.pruners import PRUNERS
from nas.samplers import SAMPLERS, SINGLE_OBJECTIVE
from search_spaces.errors import InputError

STRATEGIES = ("supernet", "train")
# what --pareto trades against mIoU
PARETO: dict[str, tuple[str, ...]] = {
    "": (),
    "latency": ("latency_ms",),
    "size": ("latency_ms", "size_bytes"),
    "arena": ("latency_ms", "arena_bytes"),
}


@dataclass(frozen=True)
class SearchSettings:
    """`trials` candidates are scored. Raises InputError that names the flag."""

    trials: int
    strategy: str = "supernet"
    sampler: str = "tpe"
    pruner: str = "none"
    pareto: str = ""
    max_size_kib: float | None = None
    max_arena_kib: float | None = None

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise InputError(f"--trials {self.trials}: give a positive number")
        for flag, value, choices in (
            ("--strategy", self.strategy, STRATEGIES),
            ("--sampler", self.sampler, SAMPLERS),
            ("--pruner", self.pruner, PRUNERS),
            ("--pareto", self.pareto, PARETO),
        ):
            if value not in choices:
                raise InputError(f"{flag} {value}: choose from {', '.join(filter(None, choices))}")
        for flag, bound in (("--max-size-kib", self.max_size_kib), ("--max-arena-kib", self.max_arena_kib)):
            if bound is not None and not (isfinite(bound) and bound > 0):
                raise InputError(f"{flag} {bound}: give a positive number of KiB")
        if self.pruner != "none" and (self.strategy != "train" or self.pareto):
            raise InputError(f"--pruner {self.pruner}: needs --strategy train without --pareto")
        if self.pareto and self.sampler in SINGLE_OBJECTIVE:
            raise InputError(f"--sampler {self.sampler}: has one objective; with --pareto choose another")

    @property
    def costs(self) -> tuple[str, ...]:
        """The objectives beside mIoU, by the names of `nas.problem.Costs`."""
        return PARETO[self.pareto]

    @property
    def shares_weights(self) -> bool:
        """Whether scores come from a supernet's weights, which favour small images and small networks: resolutions then
        take turns, and finalists are refined (`nas.finalists`)."""
        return self.strategy == "supernet"

    def limits(self, budget_ms: float) -> Constraints:
        size, arena = (None if kib is None else kib * 1024 for kib in (self.max_size_kib, self.max_arena_kib))
        return Constraints(budget_ms, size, arena)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(value: Mapping[str, Any], name: str) -> "SearchSettings":
        """Raises InputError, naming the file, for settings of another version."""
        try:
            return SearchSettings(**{f.name: value[f.name] for f in fields(SearchSettings)})
        except (KeyError, TypeError) as error:
            raise InputError(f"{name}: not the settings of a search ({error}); start the run anew") from error
