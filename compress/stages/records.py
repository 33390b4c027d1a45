"""The record that each stage leaves, metrics.json, and whether the stages of a run folder fit each other.

A stage writes metrics.json last, so a folder without it is half-written. The record holds the digest of the files that
the stage started from and the digest of those it made. A later stage refuses to start when these digests do not fit the
files.
"""

import time
from pathlib import Path
from typing import Any

from compress.files.atomic import digest
from compress.files.records import read_record, write_record
from compress.files.tensors import save_network
from compress.stages.run import METRICS, SEARCH, Run
from compress.tflite.writer import random_weight_model
from search_spaces import costs
from search_spaces.errors import InputError
from search_spaces.network import Network


def is_done(run: Run, stage: str) -> bool:
    """Whether a stage is whole and was made from what the stage before it now holds.

    Args:
        run: The run.
        stage: A stage of the run.

    Returns:
        True or false.

    Raises:
        InputError: The stage's record is damaged.
    """
    return _why_not_done(run, stage) is None


def _why_not_done(run: Run, stage: str) -> str | None:
    """What is wrong with a stage; None if nothing is."""
    metrics_file, made, source = run.path / stage / METRICS, run.files(stage), run.files(run.before(stage))
    if not all(file.is_file() for file in (metrics_file, *made)):
        return "is missing or half-written"
    metrics = read_record(metrics_file, f"run python -m compress.{stage} {run.path} again")
    if metrics.get("made") != digest(*made):
        return f"does not fit its {', '.join(dict.fromkeys(file.name for file in made))}"
    if not all(file.is_file() for file in source) or metrics.get("source") != digest(*source):
        return f"was made from another {run.before(stage)}"
    return None


def require(run: Run, stage: str) -> None:
    """Checks that every stage up to this one is whole and was made from the one before it.

    Args:
        run: The run.
        stage: A stage of the run, or SEARCH.

    Raises:
        InputError: A stage is missing, half-written, damaged or made from other files.
    """
    if stage == SEARCH:
        chosen = run.path / "genotype.json"  # the search's last file
        if not run.made(SEARCH).is_file() or not chosen.is_file():
            raise InputError(f"{run.path}: the search has not finished; run python -m nas.search --resume first")
        if run.network(SEARCH).genotype != run.genotype:
            raise InputError(f"{chosen}: search/winner.pt is another; delete both, run python -m nas.search --resume")
        return
    require(run, run.before(stage))
    why = _why_not_done(run, stage)
    if why:
        lacking = [file.name for file in run.files(stage) if not file.is_file()]
        more = f"; {', '.join(dict.fromkeys(lacking))} not found" if lacking else ""
        raise InputError(f"{run.path}: {stage} {why}; run python -m compress.{stage} {run.path} first{more}")


def record_network(run: Run, stage: str, network: Network, miou: float, begun: float, **more: Any) -> dict[str, Any]:
    """Saves the network of a stage that trains, and its record.

    Args:
        run: The run.
        stage: A stage of the run.
        network: The network.
        miou: Its mIoU (0..1) on the validation split.
        begun: The value of `time.monotonic()` when the stage began, in seconds.
        more: More figures for the record.

    Returns:
        The record.
    """
    folder = run.path / stage
    save_network(network.cpu(), run.made(stage))
    measured = run.target.measure([random_weight_model(network.graph)])[0]
    metrics = {
        "miou": miou,
        "latency_ms": measured.ms,
        **measured.mark(),
        **cost_metrics(run, network),
        "size_bytes": run.made(stage).stat().st_size,
        "wall_s": time.monotonic() - begun,
        **more,
    }
    return write_metrics(run, stage, metrics, folder)


def cost_metrics(run: Run, network: Network) -> dict[str, Any]:
    """The costs of a network as a record has them.

    Args:
        run: The run, whose table or NPU predicts the latency.
        network: The network.

    Returns:
        Predicted latency in ms, parameters, MACs and the genotype.
    """
    return {
        "predicted_latency_ms": run.latency_model.predict(network.graph),
        "params": costs.params(network.graph),
        "macs": costs.macs(network.graph),
        "genotype": network.genotype.to_dict(),
    }


def write_metrics(run: Run, stage: str, metrics: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Writes the record of a stage, with a checksum, and prints a line.

    Args:
        run: The run.
        stage: A stage of the run.
        metrics: The figures, with `miou`, `latency_ms` and `size_bytes` among them.
        folder: The stage's folder.

    Returns:
        The record.
    """
    whole = {
        "name": stage,
        **metrics,
        "source": digest(*run.files(run.before(stage))),
        "made": digest(*run.files(stage)),
    }
    write_record(folder / METRICS, whole)
    print(f"{stage}: mIoU {whole['miou']:.4f}, {whole['latency_ms']:.2f} ms, {whole['size_bytes'] / 1024:.0f} KiB")
    return whole
