"""Compares a latency table's predictions with fresh random networks, measured whole on the target."""

import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from functools import partial as later
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from compress.latency.builder import NETWORKS
from compress.latency.networks import control_network_files
from compress.latency.repeats import combine, measure_repeatedly, median_control_time
from compress.latency.spec import TableSpec
from compress.latency.table import LatencyTable
from compress.tflite.conversion import write_float_tflite
from compress.tflite.quantization import quantize_tflite
from compress.tflite.writer import FLOAT32, random_weight_model
from search_spaces import costs, get_space
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network
from search_spaces.trials import RandomTrial

CHECK = replace(NETWORKS, title="check", min_repeats=4)  # single measurements of a network differ by some percent


def check(spec: TableSpec, table: LatencyTable, models: int, seed: int, convert: bool = False) -> dict[str, Any]:
    """Measures random networks and compares them with the table's predictions.

    Networks with an op that the table does not cover are counted, not predicted.

    Args:
        spec: What the table was made for.
        table: The table.
        models: Number of networks.
        seed: The same seed draws the same networks. None of them was used to fit a table.
        convert: Makes the files by the converter, as an exported model's is made, instead of by the tflite writer.

    Returns:
        The figures of `summarize` and `drift`: the fraction by which the control networks take longer now than when
        the table was built. The measured latencies are what they would have been then.

    Raises:
        InputError: No network is covered by the table, or the target cannot be reached.
    """
    rng = random.Random(f"check {seed}")
    drawn = [spec.space.sample(RandomTrial(rng), spec.classes, spec.input_size) for _ in range(models)]
    files = {str(i): later(model_file, genotype, spec.precision, convert) for i, genotype in enumerate(drawn)}
    found = measure_repeatedly(spec.target, files, CHECK, control_networks=control_network_files(spec))
    control_ms = table.calibration.control_networks_ms
    rows: list[dict[str, Any]] = []
    for genotype, measurements in zip(drawn, found.values(), strict=True):
        measured_ms = combine(measurements).relative_time * control_ms
        rows.append({"genotype": genotype, "measured_ms": measured_ms, **_prediction(table, spec, genotype)})
    now_ms = median_control_time(found) * table.calibration.reference_ms
    return {**summarize(rows), "drift": now_ms / control_ms - 1}


@lru_cache(200)  # a conversion takes 12 s, and a network is measured more than once
def model_file(genotype: Genotype, precision: str, convert: bool) -> bytes:
    """A .tflite file of a network with random weights.

    Args:
        genotype: The network.
        precision: "int8" or "float32".
        convert: By the converter, instead of by the tflite writer.

    Returns:
        The file's content.
    """
    if not convert:
        return random_weight_model(get_space(genotype.space).graph(genotype), precision)
    with tempfile.TemporaryDirectory() as folder:
        path, log = Path(folder) / "float.tflite", Path(folder) / "log"
        write_float_tflite(Network(genotype).eval(), path, log)
        if precision == FLOAT32:
            return path.read_bytes()
        samples = [np.random.default_rng(0).random((1, *genotype.resolution, genotype.bands), np.float32)]
        return quantize_tflite(path, samples, log)


def _prediction(table: LatencyTable, spec: TableSpec, genotype: Genotype) -> dict[str, Any]:
    graph = spec.space.graph(genotype)
    try:
        return {"predicted_ms": table.predict(graph), "macs": costs.macs(graph)}
    except InputError as error:
        return {"predicted_ms": None, "macs": costs.macs(graph), "missing": str(error)}


def summarize(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of a check.

    Args:
        rows: For each network its genotype, measured_ms, predicted_ms (None where the table does not cover it) and
            macs.

    Returns:
        models, coverage, rmspe, within_5, within_10 (fractions), kendall_tau, worst (the row with the largest relative
        error) and networks (the rows).

    Raises:
        InputError: No network is covered by the table.
    """
    covered = [row for row in rows if row["predicted_ms"] is not None]
    if not covered:
        raise InputError(f"none of {len(rows)} networks is covered by the table: {rows[0]['missing']}")
    predicted, measured = (np.array([row[key] for row in covered]) for key in ("predicted_ms", "measured_ms"))
    errors = predicted / measured - 1
    worst = int(np.argmax(np.abs(errors)))
    return {
        "models": len(rows),
        "coverage": len(covered) / len(rows),
        "rmspe": float(np.sqrt(np.mean(errors**2))),
        "within_5": float(np.mean(np.abs(errors) <= 0.05)),
        "within_10": float(np.mean(np.abs(errors) <= 0.10)),
        "kendall_tau": float(kendalltau(predicted, measured).statistic) if len(covered) > 1 else float("nan"),
        "worst": {"error": float(errors[worst]), **_plain(covered[worst])},
        "networks": [_plain(row) for row in rows],
    }


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "genotype": str(row["genotype"])}
