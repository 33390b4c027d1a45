"""Benchmarks that train everything by one plan."""

from dataclasses import asdict

from planned import PlannedConfig, one_plan

from compress.training.plan import TrainingPlan


def test_one_plan_is_that_of_every_training() -> None:
    plan = TrainingPlan(5, 2, 64)
    preset = asdict(one_plan(plan))
    assert (preset.pop("trials"), preset.pop("finalists"), preset.pop("rungs")) == (1, 1, ())
    assert preset and all(one == asdict(plan) for one in preset.values())
    assert PlannedConfig(8, plans=one_plan(plan)).schedule("distill").steps == plan.steps
