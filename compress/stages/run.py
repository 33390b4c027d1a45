"""A run folder: its configuration, its files, and the order of the stages."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from compress.data.crops import Crops
from compress.data.dataset import DataSet, open_data
from compress.data.sampling import UNIFORM
from compress.data.validation import Validation, read_validation
from compress.evaluation.metrics import mean_iou
from compress.evaluation.network import evaluate_network
from compress.files.genotypes import read_genotype
from compress.files.records import read_json, read_record
from compress.files.tensors import load_network
from compress.latency.latency_model import LatencyModel
from compress.latency.npu import Npu, check_same_vela
from compress.latency.npu_model import NpuModel
from compress.latency.npu_target import NpuTarget
from compress.latency.table import LatencyTable, read_table
from compress.latency.target import Target
from compress.latency.targets import open_target
from compress.stages.config import RunConfig
from compress.stages.config_file import read_config
from compress.stages.shipped_files import shipped_files
from compress.training.class_weights import class_weights
from compress.training.device import training_device
from compress.training.label_losses import LABEL_TERMS, LabelLoss, label_loss
from compress.training.schedule import Schedule
from compress.training.term_weights import parse_terms
from search_spaces import Space, get_space
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network
from search_spaces.ops import RGB_BANDS

STAGES = ("train", "prune", "distill", "quantize", "export")
FEDERATE = "federate"  # stands after train in a run that has it
MADE = {"quantize": ("model.tflite", "model.float.tflite", "network.pt"), "export": ("model.tflite",)}
METRICS, GENOTYPE = "metrics.json", "genotype.json"
TABLE, NPU_FACTS = LATENCY_FILES = ("table.json", "npu.json")  # what latencies are predicted with: one of them
SEARCH = "search"  # what stands before the first stage
TRAINED = "trained"  # the trainings of finalists in RUN/search


@dataclass(frozen=True)
class Run:
    """A run folder and its configuration. What else a stage needs is opened when it is first asked for.

    Attributes:
        path: The run folder.
        config: Its settings.
    """

    path: Path
    config: RunConfig

    @cached_property
    def data(self) -> DataSet:
        """The data set. Raises InputError when it is not there."""
        return open_data(self.config.data, self.config.seed, self.config.input_size)

    @cached_property
    def space(self) -> Space:
        """The search space, for images of as many bands as the data set has."""
        return get_space(self.config.space, len(self.data.pixels.bands))

    @cached_property
    def validation(self) -> Validation:
        """The validation split at the input size."""
        return read_validation(self.data, self.config.input_size)

    @cached_property
    def table(self) -> LatencyTable:
        """The latency table of the run. Raises InputError when it is missing or damaged."""
        path = self.path / TABLE
        if not path.is_file():
            raise InputError(f"{path} is missing; python -m nas.search --resume writes it")
        return read_table(
            path, "restore it from a copy; python -m nas.search --resume names the command that builds one"
        )

    @cached_property
    def npu(self) -> Npu | None:
        """The NPU that the run is for; None where latency is measured. Raises InputError without the NPU's compiler."""
        npu, facts = npu_of(self.config), self.path / NPU_FACTS
        if npu is not None and facts.is_file():
            check_same_vela(read_json(facts, "start another --run", dict), npu, str(facts))
        return npu

    @property
    def latency_file(self) -> str:
        """The name of the file that says what latencies are predicted with."""
        return TABLE if self.config.npu is None else NPU_FACTS

    @property
    def latency_source(self) -> str:
        """Where the latencies come from, for people."""
        if self.npu is None:
            return f"measured on {self.config.target}"
        return f"estimates of Arm's compiler Vela {self.npu.facts()['vela']} for {self.npu.name}, not measured"

    @cached_property
    def latency_model(self) -> LatencyModel:
        """What predicts latencies: the run's table, or the compiler of its NPU."""
        return self.table if self.npu is None else NpuModel(self.npu)

    @cached_property
    def target(self) -> Target:
        """The target, at the speed it had when the table was built."""
        if self.npu is not None:
            return NpuTarget(npu=self.npu)
        config, reference_ms = self.config, self.table.calibration.reference_ms
        return open_target(
            config.target, config.threads, reference_ms, config.cores, config.benchmark_model, config.energy_sensor
        )

    @cached_property
    def genotype(self) -> Genotype:
        """The search's winner. Raises InputError before there is one."""
        return read_genotype(self.path / GENOTYPE, "run python -m nas.search first")

    @cached_property
    def device(self) -> torch.device:
        """The device that networks are trained on."""
        return training_device()

    @cached_property
    def label_loss(self) -> LabelLoss:
        """The loss on labels, a function of logits N,classes,h,w and masks N,H,W."""
        weights = class_weights(self.config.class_weights, self.data.class_counts)
        return label_loss(parse_terms(self.config.loss, LABEL_TERMS), self.data.ignore, weights)

    @property
    def training_key(self) -> str:
        """A text that names the losses, the class weights, the augmentation and the sampling. A training whose
        checkpoint has another text starts anew."""
        sampling = f" {self.config.sampling}" * (self.config.sampling != UNIFORM)  # older checkpoints have none
        return f"{self.config.loss} {self.config.class_weights} {self.config.augment}{sampling}"

    def crops(self, schedule: Schedule, seed: int) -> Crops:
        """The training crops of one training.

        Args:
            schedule: The length of the training.
            seed: Chooses the crops, together with the run's seed; each stage has its own.

        Returns:
            As many crops as the schedule takes.
        """
        items = schedule.steps * schedule.batch
        seed += self.config.seed * 100
        config = self.config
        return Crops(self.data, config.input_size, schedule.crop, items, seed, config.augment, config.sampling)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of this run in order: those of every run, and `federate` where it has been done."""
        federated = (self.path / FEDERATE / METRICS).is_file()
        return (STAGES[0], FEDERATE, *STAGES[1:]) if federated else STAGES

    def before(self, stage: str) -> str:
        """The stage before a stage.

        Args:
            stage: A stage of the run, or FEDERATE.

        Returns:
            A stage, or SEARCH.
        """
        stages = (STAGES[0], FEDERATE) if stage == FEDERATE else self.stages
        place = stages.index(stage)
        return stages[place - 1] if place else SEARCH

    def files(self, stage: str) -> list[Path]:
        """The files of a stage that later stages and users read.

        Args:
            stage: A stage of the run, or SEARCH.

        Returns:
            The files. The first one is what the next stage starts from.
        """
        if stage == SEARCH:
            return [self.path / SEARCH / "winner.pt"]
        made = [self.path / stage / name for name in MADE.get(stage, ("network.pt",))]
        if stage != STAGES[-1]:
            return made
        bands = self.genotype.bands if (self.path / GENOTYPE).is_file() else RGB_BANDS
        return made + [self.path / name for name in shipped_files(bands)]

    def made(self, stage: str) -> Path:
        """The file of a stage that the next stage starts from.

        Args:
            stage: A stage of the run, or SEARCH.

        Returns:
            The file, whether it is there or not.
        """
        return self.files(stage)[0]

    def trained_folder(self, genotype: Genotype) -> Path:
        """Where the search trains a finalist.

        Args:
            genotype: The network.

        Returns:
            RUN/search/trained/ID. Its network.pt is there when the training has ended.
        """
        return self.path / SEARCH / TRAINED / genotype.id

    def miou(self, network: Network) -> float:
        """Evaluates a network.

        Args:
            network: The network; it is moved to the run's device.

        Returns:
            Its mIoU (0..1) over the validation split.
        """
        return mean_iou(evaluate_network(network.to(self.device), self.validation, self.device))

    def network(self, stage: str) -> Network:
        """Loads the network of a stage.

        Args:
            stage: A stage that leaves a network, or SEARCH.

        Returns:
            The network.

        Raises:
            InputError: The file is missing or damaged.
        """
        return load_network(self.made(stage))

    def metrics(self, stage: str) -> dict[str, Any]:
        """Reads the record of a stage.

        Args:
            stage: One of STAGES.

        Returns:
            The content of its metrics.json.

        Raises:
            InputError: The record is missing or damaged.
        """
        metrics_file = self.path / stage / METRICS
        return read_record(metrics_file, f"run python -m compress.{stage} {self.path} first")


def npu_of(config: RunConfig) -> Npu | None:
    """The NPU that a run is for, with the SRAM that it may use. Its compiler need not be there.

    Args:
        config: The run's settings.

    Returns:
        The NPU; None where latency is measured.
    """
    kib = config.max_sram_kib
    return None if config.npu is None else Npu(config.npu, None if kib is None else round(1024 * kib))


def open_run(path: Path) -> Run:
    """Opens a run folder.

    Args:
        path: The run folder.

    Returns:
        The run.

    Raises:
        InputError: The folder is missing or no run, or its config.json is damaged.
    """
    return Run(path, read_config(path))
