"""Builds a latency table: measures single ops and whole networks, then fits how ops join to networks."""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial as later
from itertools import chain, product
from math import nan
from pathlib import Path
from statistics import median
from typing import Any

from compress.files.atomic import write_atomically
from compress.latency import timing
from compress.latency.families import Family, grid_point
from compress.latency.fit import UNFITTED, fit, residuals_of
from compress.latency.networks import control_network_files, random_networks
from compress.latency.op_plan import plan_ops
from compress.latency.repeats import (
    Measurement,
    MeasurementPlan,
    combine,
    measure_repeatedly,
    median_control_time,
    needs_repeat,
)
from compress.latency.spec import TableSpec
from compress.latency.table import VERSION, Calibration, LatencyTable
from compress.tflite.writer import random_weight_model
from search_spaces.ops import Op

OPS = MeasurementPlan("latency table", seconds=0.01, group_size=6, tolerance=0.08)
NETWORKS = MeasurementPlan("whole networks", seconds=0.3, group_size=12, tolerance=0.04)
FITTED, HELD_OUT = 30, 10  # whole networks to which the table is fitted, and on which it is tested
NETWORK_SEED = 1
MAX_RMSPE = 0.06  # from here on the user is told to measure again


@dataclass(frozen=True)
class _Measured:
    """All measurements of a build: of the ops by `Op.key`, and of the networks."""

    ops: Mapping[str, Sequence[Measurement]]
    networks: Mapping[str, Sequence[Measurement]]


def build(spec: TableSpec, path: Path) -> LatencyTable:
    """Measures, fits and writes a table. An interrupted build keeps its measurements beside the table's file and goes
    on from them.

    Args:
        spec: What the table is to hold true of.
        path: The table's file.

    Returns:
        The table.

    Raises:
        InputError: The target cannot be reached, or a file of an interrupted build is damaged.
    """
    begun = time.monotonic()
    op_file, network_file = path.with_suffix(".partial"), path.with_suffix(".networks")
    plan = plan_ops(spec)
    measured = _measure(spec, plan, op_file, network_file)
    calibration = calibrate(spec, measured.networks)
    ops = {key: combine(made) for key, made in measured.ops.items()}
    families = {name: family_of(points, ops, calibration.reference_ms) for name, points in plan.items()}
    table = fit_table(spec, families, measured.networks, calibration)
    facts = {**provenance(spec, measured.ops), "seconds": round(time.monotonic() - begun, 1)}
    advice = f"the machine was busy; for a better table, delete {path} and build it on a quiet machine"
    return keep_table(replace(table, provenance=facts), path, advice, (op_file, network_file))


def keep_table(table: LatencyTable, path: Path, advice: str, partial: Sequence[Path]) -> LatencyTable:
    """Writes a table that is made, and deletes the measurements of the way to it.

    Args:
        table: The table.
        path: Its file.
        advice: What a user is told whose table is inaccurate.
        partial: The files of measurements.

    Returns:
        The table.
    """
    write_atomically(path, table.to_json().encode())
    if table.residuals["rmspe"] > MAX_RMSPE:
        print(f"predictions are {table.residuals['rmspe']:.1%} off on networks not fitted: {advice}")
    for file in partial:
        file.unlink(missing_ok=True)
    return table


def _measure(spec: TableSpec, plan: Mapping[str, Sequence[Op]], op_file: Path, network_file: Path) -> _Measured:
    """Measures the ops of the plan and the networks; files of an interrupted build are used."""
    made_for = {**spec.made_for(), "version": VERSION}
    ops = list(chain.from_iterable(plan.values()))
    random.Random(0).shuffle(ops)  # a slow minute is to hit points of all families, not all points of one
    files = {op.key: later(random_weight_model, (op,), spec.precision) for op in ops}
    of_ops = measure_repeatedly(spec.target, files, OPS, op_file, made_for)
    return _Measured(of_ops, measure_networks(spec, network_file, made_for))


def measure_networks(spec: TableSpec, file: Path, made_for: Mapping[str, Any]) -> Mapping[str, Sequence[Measurement]]:
    """Measures whole networks, the control networks among them; a file of an interrupted build is used.

    Args:
        spec: What the table is to hold true of.
        file: The file of measurements.
        made_for: What the measurements hold true of.

    Returns:
        The measurements of each network.
    """
    graphs = random_networks(spec, FITTED + HELD_OUT, NETWORK_SEED)
    whole = {name: later(random_weight_model, graph, spec.precision) for name, graph in graphs.items()}
    return measure_repeatedly(spec.target, whole, NETWORKS, file, made_for, control_network_files(spec))


def calibrate(spec: TableSpec, networks: Mapping[str, Sequence[Measurement]]) -> Calibration:
    """The speed of the device while a table is built.

    Args:
        spec: What the table is to hold true of.
        networks: The measurements of the whole networks.

    Returns:
        The times of the reference and of the control networks.
    """
    reference_ms = spec.target.fastest_reference_ms()
    return Calibration(reference_ms, median_control_time(networks) * reference_ms)


def fit_table(
    spec: TableSpec,
    families: Mapping[str, Family],
    networks: Mapping[str, Sequence[Measurement]],
    calibration: Calibration,
) -> LatencyTable:
    """Fits how the ops join to networks.

    Args:
        spec: What the table is to hold true of.
        families: The points of each family.
        networks: The measurements of the random networks: those to which is fitted, then those on which is tested.
        calibration: The speed of the device.

    Returns:
        The table, without provenance.
    """
    table = LatencyTable(spec.made_for(), families, UNFITTED, {}, calibration, {})
    graphs = random_networks(spec, len(networks), NETWORK_SEED)
    totals = [combine(networks[name]).relative_time * calibration.control_networks_ms for name in graphs]
    sums = [table.group_ms(graph) for graph in graphs.values()]
    table = replace(table, coefficients=fit(sums[:FITTED], totals[:FITTED]))
    return replace(table, residuals=residuals_of(table, sums[FITTED:], totals[FITTED:]))


def provenance(spec: TableSpec, ops: Mapping[str, Sequence[Measurement]]) -> dict[str, Any]:
    """How a table was made.

    Args:
        spec: What it holds true of.
        ops: The measurements of the ops.

    Returns:
        Facts of the device and of the measurements. Nothing is computed from them.
    """
    return {
        **spec.target.facts(),
        **spec.target.measured_with(),
        "date": time.strftime("%Y-%m-%d"),
        "ops": len(ops),
        "median_spread": median(combine(made).spread for made in ops.values()),
        "measurements": sum(map(len, ops.values())),
        "disagreeing": sum(needs_repeat(made, len(made) + 1, OPS) for made in ops.values()),
        "seconds_per_measurement": OPS.seconds,
        "warm_up_runs": timing.WARM_UP_RUNS,
        "min_runs": timing.MIN_RUNS,
        "rounds": timing.ROUNDS,
    }


def family_of(ops: Sequence[Op], measured: Mapping[str, Measurement], reference_ms: float) -> Family:
    """The points of one family.

    Args:
        ops: The ops of the family that were measured.
        measured: By `Op.key`, in units of the reference.
        reference_ms: Undisturbed time of the reference.

    Returns:
        The family with its points in ms.
    """
    missing = Measurement(nan, nan, nan)
    found = {grid_point(op): measured[op.key] for op in ops}
    axes = tuple(tuple(sorted(set(axis))) for axis in zip(*found, strict=True))
    points = [found.get(point, missing) for point in product(*axes)]
    ms = tuple(round(point.relative_time * reference_ms, 6) for point in points)
    return Family(axes, ms, tuple(round(point.spread, 3) for point in points))
