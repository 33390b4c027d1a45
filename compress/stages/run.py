"""A run folder: its configuration, its files, and the order of the stages."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from compress.data.crops import Crops
from compress.data.dataset import DataSet, open_data
from compress.data.validation import Validation, read_validation
from compress.evaluation.metrics import mean_iou
from compress.evaluation.network import evaluate_network
from compress.files.genotypes import read_genotype
from compress.files.records import read_json, read_record
from compress.files.tensors import load_network
from compress.latency.table import LatencyTable, read_table
from compress.latency.targets import Target, open_target
from compress.stages.config import RunConfig
from compress.training.class_weights import class_weights
from compress.training.device import training_device
from compress.training.label_losses import LABEL_TERMS, LabelLoss, label_loss
from compress.training.schedule import Schedule
from compress.training.term_weights import parse_terms
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network

STAGES = ("train", "prune", "distill", "quantize", "export")
MADE = {"quantize": ("model.tflite", "model.float.tflite", "network.pt"), "export": ("model.tflite",)}
# what the last stage puts into the run folder
SHIPPED = (
    "model.tflite",
    "model.uint8.tflite",
    "model.mediapipe.tflite",
    "model.float.tflite",
    "model.onnx",
    "model.int8.onnx",
    "model.json",
)
METRICS = "metrics.json"
SEARCH = "search"  # what stands before the first stage


@dataclass(frozen=True)
class Run:
    """An existing run folder and what its config.json says."""

    path: Path
    config: RunConfig

    @cached_property
    def data(self) -> DataSet:
        return open_data(self.config.data, self.config.seed)

    @cached_property
    def validation(self) -> Validation:
        return read_validation(self.data, self.config.input_size)

    @cached_property
    def table(self) -> LatencyTable:
        path = self.path / "table.json"
        if not path.is_file():
            raise InputError(f"{path} is missing; python -m nas.search --resume writes it")
        return read_table(
            path, "restore it from a copy; python -m nas.search --resume names the command that builds one"
        )

    @cached_property
    def target(self) -> Target:
        """The target, at the speed it had when the table was built."""
        return open_target(self.config.target, self.config.threads, self.table.calibration.reference_ms)

    @cached_property
    def genotype(self) -> Genotype:
        path = self.path / "genotype.json"
        return read_genotype(path, "run python -m nas.search first")

    @cached_property
    def device(self) -> torch.device:
        return training_device()

    @cached_property
    def label_loss(self) -> LabelLoss:
        """What networks are trained on, of (logits, masks)."""
        weights = class_weights(self.config.class_weights, self.data.class_counts)
        return label_loss(parse_terms(self.config.loss, LABEL_TERMS), self.data.ignore, weights)

    @property
    def training_key(self) -> str:
        """Spells how networks are trained, but for the schedule."""
        return f"{self.config.loss} {self.config.class_weights} {self.config.augment}"

    def crops(self, schedule: Schedule, seed: int) -> Crops:
        """Training crops for a schedule; stages draw different ones."""
        items = schedule.steps * schedule.batch
        seed += self.config.seed * 100
        return Crops(self.data, self.config.input_size, schedule.crop, items, seed, self.config.augment)

    def files(self, stage: str) -> list[Path]:
        """What later stages and users read of a stage; the first file is the one it hands on."""
        if stage == SEARCH:
            return [self.path / SEARCH / "winner.pt"]
        made = [self.path / stage / name for name in MADE.get(stage, ("network.pt",))]
        return made + [self.path / name for name in SHIPPED] if stage == STAGES[-1] else made

    def made(self, stage: str) -> Path:
        """The file a stage hands on."""
        return self.files(stage)[0]

    def miou(self, network: Network) -> float:
        """mIoU (0..1) of a torch network over the validation split."""
        return mean_iou(evaluate_network(network.to(self.device), self.validation, self.device))

    def network(self, stage: str) -> Network:
        return load_network(self.made(stage))

    def metrics(self, stage: str) -> dict[str, Any]:
        """What a stage recorded. Raises InputError before it has."""
        metrics_file = self.path / stage / METRICS
        return read_record(metrics_file, f"run python -m compress.{stage} {self.path} first")


def open_run(path: Path) -> Run:
    """Raises InputError when the folder is not a run."""
    if not path.is_dir():
        raise InputError(f"{path}: there is no such run folder; make one with python -m nas.search")
    file = path / "config.json"
    values = read_json(file, "the folder is not a run of python -m nas.search")
    return Run(path, RunConfig.from_dict(values, str(file)))
