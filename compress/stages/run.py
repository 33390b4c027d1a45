"""What the stages share: opening a run folder, the order of stages, and the record each one leaves.

A stage's metrics.json is written last, so a folder without it is half-written. It names the digest of the
files it started from and of those it made; a later stage refuses a chain whose digests do not meet.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from compress.data.crops import Crops
from compress.data.dataset import DataSet, open_data
from compress.data.validation import Validation, read_validation
from compress.evaluation.evaluate import evaluate
from compress.evaluation.metrics import mean_iou
from compress.files.atomic import digest
from compress.files.records import read_json, write_json
from compress.files.tensors import load_network, save_network
from compress.latency.table import LatencyTable, read_table
from compress.latency.targets import Target
from compress.stages.cli import Parser, parser, run_command
from compress.stages.config import Settings
from compress.tflite.writer import random_weight_model
from compress.training.device import share_cores, training_device
from compress.training.label_losses import LABEL_TERMS, LabelLoss, class_weights, label_loss
from compress.training.schedule import Schedule
from compress.training.terms import parse_terms
from search_spaces import costs
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network

STAGES = ("train", "prune", "distill", "quantize", "export")
MADE = {"quantize": ("model.tflite", "model.float.tflite", "network.pt"), "export": ("model.tflite",)}
SHIPPED = ("model.tflite", "model.float.tflite", "model.onnx", "model.json")  # the last stage puts into the run folder
METRICS = "metrics.json"
SEARCH = "search"  # what stands before the first stage


@dataclass(frozen=True)
class Run:
    """An existing run folder and what its config.json says."""

    path: Path
    settings: Settings

    @cached_property
    def data(self) -> DataSet:
        return open_data(self.settings.data, self.settings.seed)

    @cached_property
    def validation(self) -> Validation:
        return read_validation(self.data, self.settings.input_size)

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
        return self.settings.open_target(self.table.calibration.reference_ms)

    @cached_property
    def genotype(self) -> Genotype:
        path = self.path / "genotype.json"
        return Genotype.from_dict(read_json(path, "run python -m nas.search first"))

    @cached_property
    def device(self) -> torch.device:
        return training_device()

    @cached_property
    def label_loss(self) -> LabelLoss:
        """What networks are trained on, of (logits, masks)."""
        weights = class_weights(self.settings.class_weights, self.data.class_counts)
        return label_loss(parse_terms(self.settings.loss, LABEL_TERMS), self.data.ignore, weights)

    @property
    def recipe(self) -> str:
        """Spells how networks are trained, but for the schedule."""
        return f"{self.settings.loss} {self.settings.class_weights} {self.settings.augment}"

    def crops(self, schedule: Schedule, seed: int) -> Crops:
        """Training crops for a schedule; stages draw different ones."""
        items = schedule.steps * schedule.batch
        seed += self.settings.seed * 100
        return Crops(self.data, self.settings.input_size, schedule.crop, items, seed, self.settings.augment)

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
        return mean_iou(evaluate(network.to(self.device), self.validation, self.device))

    def network(self, stage: str) -> Network:
        return load_network(self.made(stage))

    def metrics(self, stage: str) -> dict[str, Any]:
        """What a stage recorded. Raises InputError before it has."""
        metrics_file = self.path / stage / METRICS
        found: dict[str, Any] = read_json(metrics_file, f"run python -m compress.{stage} {self.path} first")
        return found


def open_run(path: Path) -> Run:
    """Raises InputError when the folder is not a run."""
    if not path.is_dir():
        raise InputError(f"{path}: there is no such run folder; make one with python -m nas.search")
    config = path / "config.json"
    settings = read_json(config, "the folder is not a run of python -m nas.search")
    share_cores()
    return Run(path, Settings.from_dict(settings, str(config)))


def is_done(run: Run, stage: str) -> bool:
    """Whether a stage is whole and was made from what the stage before it now holds."""
    return _why_not_done(run, stage) is None


def _why_not_done(run: Run, stage: str) -> str | None:
    metrics_file, made, source = run.path / stage / METRICS, run.files(stage), run.files(before(stage))
    if not all(file.is_file() for file in (metrics_file, *made)):
        return "is missing or half-written"
    metrics = read_json(metrics_file, f"run python -m compress.{stage} {run.path} again")
    if not isinstance(metrics, dict) or metrics.get("made") != digest(*made):
        return f"does not fit its {', '.join(dict.fromkeys(file.name for file in made))}"
    if not all(file.is_file() for file in source) or metrics.get("source") != digest(*source):
        return f"was made from another {before(stage)}"
    return None


def before(stage: str) -> str:
    place = STAGES.index(stage)
    return STAGES[place - 1] if place else SEARCH


def require(run: Run, stage: str) -> None:
    """Raises InputError unless everything up to and with `stage` is whole and of one piece."""
    if stage == SEARCH:
        chosen = run.path / "genotype.json"  # the search's last file
        if not run.made(SEARCH).is_file() or not chosen.is_file():
            raise InputError(f"{run.path}: the search has not finished; run python -m nas.search --resume first")
        if run.network(SEARCH).genotype != run.genotype:
            raise InputError(f"{chosen}: search/winner.pt is another; delete both, run python -m nas.search --resume")
        return
    require(run, before(stage))
    why = _why_not_done(run, stage)
    if why:
        raise InputError(f"{run.path}: {stage} {why}; run python -m compress.{stage} {run.path} first")


def record_network(run: Run, stage: str, network: Network, miou: float, begun: float, **more: Any) -> dict[str, Any]:
    """Saves a torch stage's network and its metrics, and returns them."""
    folder = run.path / stage
    save_network(network.cpu(), run.made(stage))
    measured = run.target.measure([random_weight_model(network.graph)])[0]
    metrics = {
        "miou": miou,
        "latency_ms": measured.ms,
        **cost_metrics(run, network),
        "size_bytes": run.made(stage).stat().st_size,
        "wall_s": time.monotonic() - begun,
        **more,
    }
    return write_metrics(run, stage, metrics, folder)


def cost_metrics(run: Run, network: Network) -> dict[str, Any]:
    return {
        "predicted_latency_ms": run.table.predict(network.graph),
        "params": costs.params(network.graph),
        "macs": costs.macs(network.graph),
        "genotype": network.genotype.to_dict(),
    }


def write_metrics(run: Run, stage: str, metrics: dict[str, Any], folder: Path) -> dict[str, Any]:
    whole = {
        "name": stage,
        **metrics,
        "source": digest(*run.files(before(stage))),
        "made": digest(*run.files(stage)),
    }
    write_json(folder / METRICS, whole)
    print(f"{stage}: mIoU {whole['miou']:.4f}, {whole['latency_ms']:.2f} ms, {whole['size_bytes'] / 1024:.0f} KiB")
    return whole


def stage_command(
    stage: str, doc: str | None, body: Callable[..., object], flags: Callable[[Parser], None] | None = None
) -> None:
    """The `__main__` of a stage script: checks what stands before it, then runs `body(run, **flags)` on the folder
    named."""

    def main() -> None:
        arguments = parser(doc, f"compress.{stage}")
        arguments.add_argument("run", type=Path, metavar="RUN", help="a run folder, such as runs/landcover-30ms")
        if flags is not None:
            flags(arguments)
        given = vars(arguments.parse_args())
        run = open_run(given.pop("run"))
        require(run, before(stage))
        body(run, **given)

    run_command(main)
