"""A run's configuration with training plans of a benchmark's own."""

from dataclasses import dataclass

from compress.stages.config import RunConfig
from compress.stages.presets import PRESETS, Preset


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
