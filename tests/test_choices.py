"""The names that flags accept are those of the registries, which a command line must not import."""

from collections.abc import Iterable
from dataclasses import fields

import pytest

from compress.data.augmentation import AUGMENTS
from compress.data.calibration import CALIBRATION_SPLITS
from compress.data.sampling import SAMPLINGS
from compress.distillation.layer_distillation import PLACES
from compress.distillation.losses import TEACHING_TERMS
from compress.pruning.importances import IMPORTANCES
from compress.stages import choices
from compress.stages.config import Part
from compress.stages.options import QuantizeOptions
from compress.stages.presets import PRESETS, Preset
from compress.tflite.ranges import DEFAULT_ESTIMATOR, ESTIMATORS
from compress.tflite.writer import PRECISIONS
from compress.training.class_weights import CLASS_WEIGHTS
from compress.training.label_losses import LABEL_TERMS
from compress.training.plan import TrainingPlan
from compress.training.schedule import LR_SCHEDULES
from nas.pruners import PRUNERS
from nas.samplers import SAMPLERS, SINGLE_OBJECTIVE


@pytest.mark.parametrize(
    ("names", "registry"),
    [
        (choices.LABEL_LOSSES, LABEL_TERMS),
        (choices.CLASS_WEIGHTINGS, CLASS_WEIGHTS),
        (choices.LR_SCHEDULE_NAMES, LR_SCHEDULES),
        (choices.AUGMENTATIONS, AUGMENTS),
        (choices.SAMPLINGS, SAMPLINGS),
        (choices.SAMPLER_NAMES, SAMPLERS),
        (choices.SINGLE_OBJECTIVE_SAMPLERS, SINGLE_OBJECTIVE),
        (choices.PRUNER_NAMES, PRUNERS),
        (choices.IMPORTANCE_NAMES, IMPORTANCES),
        (choices.RANGE_ESTIMATORS, ESTIMATORS),
        (choices.CALIBRATION_SPLIT_NAMES, CALIBRATION_SPLITS),
        (choices.DISTILLATION_LOSSES, TEACHING_TERMS),
        (choices.FEATURE_PLACES, PLACES),
        (choices.PRECISION_NAMES, PRECISIONS),
    ],
)
def test_names_are_those_of_the_registry(names: tuple[str, ...], registry: Iterable[str]) -> None:
    assert names == tuple(registry)


def test_the_usual_range_estimator_is_one() -> None:
    assert QuantizeOptions.ranges == DEFAULT_ESTIMATOR


def test_a_preset_holds_nothing_that_the_run_overrides() -> None:
    """Plans have neither a learning rate schedule nor a moving average: those are flags of the run."""
    assert {field.name for field in fields(TrainingPlan)} == {"steps", "batch", "crop", "lr", "weight_decay"}
    plans = [getattr(preset, part) for preset in PRESETS.values() for part in Part.__args__]
    assert {type(plan) for plan in plans} == {TrainingPlan}
    assert {field.name for field in fields(Preset)} == {*Part.__args__, "trials", "finalists", "rungs"}
