"""What a run is asked to do: every setting, checked, with the flag that sets it.

`nas.search` writes the configuration to RUN/config.json (`compress.stages.config_file`), and every later command reads
it there. Nothing here imports torch, Optuna or another library that a command line must wait for.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from compress.data.layouts import LAYOUTS
from compress.data.spec import expand_data
from compress.donors.source import IMAGENET, NONE, WEIGHTS_NAMES
from compress.latency.cores import BIG, CORES_FORMS, check_cores
from compress.latency.target_names import (
    BINARY_HELP,
    BINARY_UNSET,
    SENSOR_HELP,
    SENSOR_UNSET,
    TARGET_FORMS,
    VELA,
    check_threads,
    parse_target,
)
from compress.stages.choices import (
    AUGMENTATIONS,
    CLASS_WEIGHTINGS,
    LABEL_LOSSES,
    LR_SCHEDULE_NAMES,
    PARETO_COSTS,
    PRUNER_NAMES,
    SAMPLER_NAMES,
    SAMPLINGS,
    SINGLE_OBJECTIVE_SAMPLERS,
    SPACE_NAMES,
    STRATEGIES,
)
from compress.stages.flag_values import check_input_size, expand_weights, parse_input_size
from compress.stages.flags import check_choices, flag
from compress.stages.json_types import check_type
from compress.stages.presets import PRESETS, Preset
from compress.training.plan import TrainingPlan
from compress.training.term_weights import check_terms
from search_spaces.errors import InputError

if TYPE_CHECKING:  # importing it imports torch
    from compress.training.schedule import Schedule

DATA, TARGET, SEARCH, TRAINING, RUN = "data", "target and budget", "search", "training (docs/training.md)", "run"
GROUPS = (DATA, TARGET, SEARCH, TRAINING, RUN)  # the order of `--help`
MIN_CROP = 32  # pixels
PRUNED_SHARE = 0.95  # of the budget: table and target may differ by some percent
Part = Literal["supernet", "candidate", "train", "recover", "distill"]


@dataclass(frozen=True)
class RunConfig:
    """Every setting of a run.

    Attributes:
        trials: candidates to score; None at construction takes the preset's number.
        pareto: the costs traded against mIoU, a key of PARETO_COSTS; empty for a search with one objective.
        lr_schedule: how the learning rate rises and falls; config.json calls it `schedule`.
        storage: where the study lives, without its password; empty for study.db in the run folder.

    Raises:
        InputError: a value is wrong; the line names the flag.
    """

    budget_ms: float = flag(TARGET, "latency budget in ms on the target", type=float, metavar="MS")
    data: str = flag(DATA, "the data set", "landcover", parse=expand_data, listed=", ".join(LAYOUTS.values()))
    target: str = flag(TARGET, f"where latency counts: {TARGET_FORMS}", "host")
    threads: int = flag(TARGET, "threads of the runtime on the target", 1, type=int, metavar="N")
    cores: str = flag(TARGET, "cores of the target that models are timed on", BIG, listed=CORES_FORMS, metavar="CORES")
    benchmark_model: str = flag(TARGET, BINARY_HELP, "", unset=BINARY_UNSET, metavar="FILE")
    budget_mj: float | None = flag(
        TARGET, "bound on the measured energy of a run in mJ, idle subtracted", None, type=float, metavar="MJ"
    )
    energy_sensor: str = flag(TARGET, SENSOR_HELP, "", unset=SENSOR_UNSET, metavar="SENSOR")
    input_size: tuple[int, int] = flag(
        DATA, "size of the images that the network sees, in pixels: 512 or HEIGHTxWIDTH", (512, 512),
        parse=parse_input_size, unset="512", metavar="SIZE",
    )  # fmt: skip
    space: str = flag(SEARCH, "the search space", "deeplabv3plus", choices=SPACE_NAMES)
    preset: str = flag(RUN, "how long everything takes", "quick", choices=tuple(PRESETS))
    seed: int = flag(RUN, "seed of everything that is drawn", 0, type=int, metavar="N")
    loss: str = flag(
        TRAINING, "losses added up, each with its weight, such as ce,dice=0.5", "ce", listed=", ".join(LABEL_LOSSES)
    )
    class_weights: str = flag(TRAINING, "weights of the classes", "root", choices=CLASS_WEIGHTINGS)
    lr_schedule: str = flag(
        TRAINING, "how the learning rate rises and falls", "one-cycle", choices=LR_SCHEDULE_NAMES,
        names=("--schedule", "--lr-schedule"),
    )  # fmt: skip
    ema: float = flag(
        TRAINING, "decay of a moving average of the weights; 0 for none", 0.0, type=float, unset="0", metavar="DECAY"
    )
    augment: str = flag(TRAINING, "how training images are changed", "photo", choices=AUGMENTATIONS)
    sampling: str = flag(TRAINING, "where training crops lie", "uniform", choices=SAMPLINGS)
    crop: int | None = flag(TRAINING, "side of training crops in pixels", None, type=int, unset="the preset's")
    weights: str = flag(
        TRAINING, "what networks start from", IMAGENET, parse=expand_weights, metavar="START",
        listed=", ".join((*WEIGHTS_NAMES, "or a network.pt, .safetensors or torch file")),
    )  # fmt: skip
    trials: int = flag(SEARCH, "candidates to score", None, type=int, unset="the preset's", metavar="N")
    strategy: str = flag(SEARCH, "where scores come from", "", choices=STRATEGIES, unset="depends on --weights")
    sampler: str = flag(SEARCH, "what proposes candidates", "tpe", choices=SAMPLER_NAMES)
    pruner: str = flag(SEARCH, "what stops poor trainings of --strategy train", "none", choices=PRUNER_NAMES)
    pareto: str = flag(
        SEARCH, "search a front of mIoU against latency, or latency and another cost", "",
        choices=tuple(PARETO_COSTS), nargs="?", const="latency",
    )  # fmt: skip
    max_size_kib: float | None = flag(TARGET, "bound on the int8 file's size", None, type=float, metavar="KIB")
    max_arena_kib: float | None = flag(
        TARGET, "bound on the activations alive at once", None, type=float, metavar="KIB"
    )
    max_sram_kib: float | None = flag(
        TARGET, "bound on the SRAM in use at once, with --target vela", None, type=float, metavar="KIB"
    )
    storage: str = ""

    def __post_init__(self) -> None:
        if not self.strategy:  # nothing can be told of features that are random
            object.__setattr__(self, "strategy", "supernet" if self.weights in ("", NONE) else "probe")
        check_choices(self)
        if not (isfinite(self.budget_ms) and self.budget_ms > 0):
            raise InputError(f"--budget-ms {self.budget_ms}: give a positive number of milliseconds, such as 30")
        check_terms(self.loss, LABEL_LOSSES)
        if not 0 <= self.ema < 1:
            raise InputError(f"--ema {self.ema:g}: give a decay from 0 (none) to below 1, such as 0.999")
        check_input_size(self.input_size)
        if self.seed < 0:
            raise InputError(f"--seed {self.seed}: give 0 or a positive whole number")
        if self.crop is not None and not MIN_CROP <= self.crop <= max(self.input_size):
            raise InputError(f"--crop {self.crop}: give {MIN_CROP} to {max(self.input_size)}, the longer --input-size")
        check_threads(parse_target(self.target), self.threads)
        check_cores(self.cores)
        if self.trials is None:
            object.__setattr__(self, "trials", PRESETS[self.preset].trials)
        self._check_search()

    def _check_search(self) -> None:
        if self.trials < 1:
            raise InputError(f"--trials {self.trials}: give a positive number")
        for name in ("max_size_kib", "max_arena_kib", "max_sram_kib"):
            bound = getattr(self, name)
            if bound is not None and not (isfinite(bound) and bound > 0):
                raise InputError(f"--{name.replace('_', '-')} {bound}: give a positive number of KiB")
        if self.npu is not None and self.cores != BIG:
            raise InputError(f"--cores {self.cores}: --target {self.target} has none; leave it out")
        if self.budget_mj is not None and not (isfinite(self.budget_mj) and self.budget_mj > 0):
            raise InputError(f"--budget-mj {self.budget_mj}: give a positive number of millijoules")
        if self.measures_energy and self.npu is not None:
            given = "--budget-mj" if self.budget_mj is not None else "--pareto energy or --energy-sensor"
            raise InputError(f"{given}: Vela does not estimate the energy of --target {self.target}; leave it out")
        if self.max_sram_kib is not None and self.npu is None:
            raise InputError(f"--max-sram-kib {self.max_sram_kib:g}: needs a --target vela:NPU")
        if self.pruner != "none" and (self.strategy != "train" or self.pareto):
            raise InputError(f"--pruner {self.pruner}: needs --strategy train without --pareto")
        if self.pareto and self.sampler in SINGLE_OBJECTIVE_SAMPLERS:
            raise InputError(f"--sampler {self.sampler}: has one objective; with --pareto choose another")

    @property
    def npu(self) -> str | None:
        """The NPU whose compiler estimates the latency; None where the latency is measured."""
        name = parse_target(self.target)
        return name.address if name.kind == VELA else None

    @property
    def measures_energy(self) -> bool:
        """Whether energy is measured beside the latency."""
        return self.budget_mj is not None or "energy_mj" in self.costs or bool(self.energy_sensor)

    @property
    def pruned_ms(self) -> float:
        """The predicted latency, ms, to which networks are pruned unless `--target-ms` says otherwise."""
        return PRUNED_SHARE * self.budget_ms

    @property
    def preset_values(self) -> Preset:
        """What the preset stands for."""
        return PRESETS[self.preset]

    @property
    def costs(self) -> tuple[str, ...]:
        """The objectives beside mIoU, by the names of `nas.problem.Costs`."""
        return PARETO_COSTS[self.pareto]

    @property
    def shares_weights(self) -> bool:
        """Whether scores come from a supernet's weights. Those favour small images and small networks: resolutions then
        take turns (`nas.finalists`)."""
        return self.strategy == "supernet"

    def schedule(self, part: Part) -> "Schedule":
        """How one part of the run is trained.

        Args:
            part: the part, as `Preset` names it.

        Returns:
            The preset's plan with the run's learning rate schedule, moving average and crops. The supernet keeps the
            preset's crops, of which a step has only eight.
        """
        from compress.training.schedule import Schedule

        plan: TrainingPlan = getattr(self.preset_values, part)
        if self.crop is not None and part != "supernet":
            plan = plan.with_crop(self.crop)
        return Schedule(**asdict(plan), lr_schedule=self.lr_schedule, ema=self.ema)

    def flat(self) -> dict[str, Any]:
        """Lists the settings by name, but for the places of files and of the storage.

        Returns:
            The settings as a study keeps them.
        """
        whole = {json_key(name): value for name, value in asdict(self).items() if name not in PLACES}
        return {**whole, "input_size": list(self.input_size)}

    def to_dict(self) -> dict[str, Any]:
        """Lists the settings as config.json has them.

        Returns:
            The content of config.json, as far as settings go.
        """
        whole = self.flat()
        search = {name: whole.pop(name) for name in SEARCH_KEYS}
        return {**whole, "search": search, **{name: getattr(self, name) for name in PLACES}}

    @staticmethod
    def from_dict(value: Mapping[str, Any], name: str) -> "RunConfig":
        """Reads what `to_dict` wrote. What an older version did not write has its default.

        Args:
            value: the content of config.json; keys that are no settings are ignored.
            name: the file, for messages.

        Returns:
            The configuration.

        Raises:
            InputError: something else is missing, or a value is wrong.
        """
        try:
            known = {**value, **value.get("search", {})}
            height, width = known["input_size"]
            settings = {f.name: known[json_key(f.name)] for f in fields(RunConfig) if json_key(f.name) in known}
            settings["input_size"] = (height, width)
            settings["weights"] = settings.get("weights") or NONE  # runs of older versions started from nothing else
            declared = get_type_hints(RunConfig)
            for setting, found in settings.items():
                check_type(json_key(setting), found, declared[setting])
            return RunConfig(**settings)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{name}: not the settings of a run ({error}); start the run anew") from error


# settings that a study does not keep: the same study may be reached by other paths
PLACES = ("storage", "benchmark_model", "energy_sensor")
# settings that config.json keeps under "search"
SEARCH_KEYS = (
    "trials", "strategy", "sampler", "pruner", "pareto", "budget_mj", "max_size_kib", "max_arena_kib", "max_sram_kib",
)  # fmt: skip


def json_key(name: str) -> str:
    """The key of config.json for a field; files of older versions call the learning rate schedule `schedule`.

    Args:
        name: the field's name.

    Returns:
        The key.
    """
    return "schedule" if name == "lr_schedule" else name
