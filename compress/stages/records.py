"""The record that each stage leaves, and whether a run folder's stages fit each other.

A stage's metrics.json is written last, so a folder without it is half-written. It names the digest of the
files it started from and of those it made; a later stage refuses a chain whose digests do not meet.
"""

import time
from pathlib import Path
from typing import Any

from compress.files.atomic import digest
from compress.files.records import read_json, write_json
from compress.files.tensors import save_network
from compress.stages.run import METRICS, SEARCH, STAGES, Run
from compress.tflite.writer import random_weight_model
from search_spaces import costs
from search_spaces.errors import InputError
from search_spaces.network import Network


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
