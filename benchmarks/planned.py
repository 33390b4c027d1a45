"""A run's configuration with training plans of a benchmark's own."""

from dataclasses import dataclass, fields
from typing import Any

from compress.stages.config import RunConfig
from compress.stages.presets import PRESETS, Preset
from compress.training.plan import TrainingPlan


@dataclass(frozen=True)
class PlannedConfig(RunConfig):
    """Every setting of a run, and how long its parts take.

    Attributes:
        plans: Takes the place of what `preset` stands for.
    """

    plans: Preset = PRESETS["quick"]

    @property
    def preset_values(self) -> Preset:
        """The plans."""
        return self.plans


def one_plan(plan: TrainingPlan) -> Preset:
    """A preset whose trainings all have one plan.

    Args:
        plan: How long a training takes.

    Returns:
        The preset, with one trial, one finalist and no rung.
    """
    counts: dict[str, Any] = {"trials": 1, "finalists": 1, "rungs": ()}
    return Preset(**{field.name: plan for field in fields(Preset) if field.name not in counts}, **counts)
