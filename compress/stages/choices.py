"""The names that flags accept.

Reading a command line must not import the libraries that do the work, so the names stand here, apart from the
functions they name. `tests/test_choices.py` holds each list equal to its registry.
"""

from search_spaces import SPACES

SPACE_NAMES = tuple(SPACES)
SAMPLINGS = ("uniform", "rare")  # compress.data.sampling
LABEL_LOSSES = ("ce", "ohem", "focal", "boundary", "dice", "lovasz")  # compress.training.label_losses
CLASS_WEIGHTINGS = ("root", "effective", "equal")  # compress.training.class_weights
LR_SCHEDULE_NAMES = ("one-cycle", "poly")  # compress.training.schedule
AUGMENTATIONS = ("photo", "road", "aerial", "medical")  # compress.data.augmentation
STRATEGIES = ("probe", "supernet", "train")  # nas.strategy
SAMPLER_NAMES = ("tpe", "nsga2", "nsga3", "gp", "random", "evolution")  # nas.samplers
SINGLE_OBJECTIVE_SAMPLERS = ("evolution",)  # nas.samplers: they cannot serve --pareto
PRUNER_NAMES = ("none", "median", "hyperband", "medianstop", "curvefitting")  # nas.pruners
# the costs that --pareto trades against mIoU, by the names of nas.problem.Costs
PARETO_COSTS: dict[str, tuple[str, ...]] = {
    "": (),
    "latency": ("latency_ms",),
    "size": ("latency_ms", "size_bytes"),
    "arena": ("latency_ms", "arena_bytes"),
    "energy": ("latency_ms", "energy_mj"),
}
IMPORTANCE_NAMES = ("l1", "l2", "bn-scale", "lamp", "taylor", "hessian")  # compress.pruning.importances
RANGE_ESTIMATORS = ("minmax", "percentile", "mse", "moving-average")  # compress.tflite.ranges
CALIBRATION_SPLIT_NAMES = ("train", "val")  # compress.data.calibration
# compress.distillation.losses
DISTILLATION_LOSSES = ("kl", "cwd", "dist", "skd", "boundary", "dynamic", "adaptive")
FEATURE_PLACES = ("backbone", "aspp", "decoder")  # compress.distillation.layer_distillation
PRECISION_NAMES = ("int8", "float32")  # compress.tflite.writer
FEDERATED_STRATEGIES = ("fedavg", "fedprox", "fedbn")  # compress.federated.strategies
