"""A latency table for a new device, made from that of another.

Devices differ most in whole families of ops: one runtime has a faster kernel, one processor slower memory. So three ops
of each family are measured on the new device. Where all take the same number of times as long as on the other device,
the whole family is scaled. Only where they disagree, all ops of the family are measured. Then the table is fitted to
whole networks, as one that is built from nothing. LitePred (NSDI 2024) also starts from other devices.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial as later
from itertools import chain
from math import isnan
from pathlib import Path
from statistics import geometric_mean

from compress.files.atomic import digest
from compress.latency.builder import (
    OPS,
    calibrate,
    family_of,
    fit_table,
    keep_table,
    measure_networks,
    provenance,
)
from compress.latency.families import Family, grid_point
from compress.latency.op_plan import plan_ops
from compress.latency.repeats import Measurement, combine, measure_repeatedly
from compress.latency.spec import TableSpec
from compress.latency.table import LatencyTable, read_table
from compress.tflite.writer import random_weight_model
from search_spaces.errors import InputError
from search_spaces.ops import RGB_BANDS, Op

TOLERANCE = 0.2  # ops of a family disagree from here on
SAME = ("space", "backbone", "classes", "bands", "input_size", "precision")  # of both tables
Measured = Mapping[str, Sequence[Measurement]]


def transfer(spec: TableSpec, source: Path, path: Path, tolerance: float = TOLERANCE) -> LatencyTable:
    """Makes a table from that of another device, and writes it. An interrupted transfer keeps its measurements.

    Args:
        spec: What the table is to hold true of.
        source: The table of the other device.
        path: The new table's file.
        tolerance: Fraction by which the measured ops of a family may differ before the whole family is measured.

    Returns:
        The table.

    Raises:
        InputError: The other table is for other networks, the target cannot be reached, or a file is damaged.
    """
    begun = time.monotonic()
    other = read_table(source, "give the table of another device")
    check_same_networks(spec, other, source)
    plan = plan_ops(spec)
    made_for = {**spec.made_for(), "from": digest(source)}
    op_file, network_file = path.with_suffix(".partial"), path.with_suffix(".networks")

    def measure(ops: Sequence[Op]) -> Measured:
        shuffled = random.Random(0).sample(ops, len(ops))  # a slow minute is to hit single ops of many families
        files = {op.key: later(random_weight_model, (op,), spec.precision) for op in shuffled}
        return measure_repeatedly(spec.target, files, OPS, op_file, made_for)

    families, of_ops, whole_families = _families(plan, other, measure, spec.target.fastest_reference_ms, tolerance)
    networks = measure_networks(spec, network_file, made_for)
    table = fit_table(spec, families, networks, calibrate(spec, networks))
    facts = {
        **provenance(spec, of_ops),
        "transferred_from": {key: other.made_for[key] for key in ("target", "threads", "runtime", "processor")},
        "families_measured": f"{whole_families} of {len(families)}",
        "seconds": round(time.monotonic() - begun, 1),
    }
    advice = (
        f"the devices differ too much, or the machine was busy; build the table from nothing with {spec.command(path)}"
    )
    return keep_table(replace(table, provenance=facts), path, advice, (op_file, network_file))


def _families(
    plan: Mapping[str, Sequence[Op]],
    other: LatencyTable,
    measure: Callable[[Sequence[Op]], Measured],
    reference: Callable[[], float],
    tolerance: float,
) -> tuple[dict[str, Family], Measured, int]:
    """The families on the new device, the measurements, and how many families were measured as a whole."""
    probes = {name: probes_of(ops, other.families.get(name)) for name, ops in plan.items()}
    of_probes = measure(list(chain.from_iterable(probes.values())))
    reference_ms = reference()
    scales = {
        name: scale_of(probes[name], other.families.get(name), of_probes, reference_ms, tolerance) for name in plan
    }
    rest = measure(list(chain.from_iterable(ops for name, ops in plan.items() if scales[name] is None)))
    of_ops = {**of_probes, **rest}
    combined = {key: combine(made) for key, made in of_ops.items()}
    families = {
        name: family_of(plan[name], combined, reference_ms) if scale is None else scaled(other.families[name], scale)
        for name, scale in scales.items()
    }
    return families, of_ops, sum(scale is None for scale in scales.values())


def check_same_networks(spec: TableSpec, other: LatencyTable, source: Path) -> None:
    """Refuses a table of other networks.

    Args:
        spec: What the new table is to hold true of.
        other: The table of the other device.
        source: Its file, for the error.

    Raises:
        InputError: The tables differ in more than the device. The message names it.
    """
    asked, known = ({"bands": RGB_BANDS, **found} for found in (spec.made_for(), other.made_for))
    known["backbone"] = other.backbone
    for name, value in asked.items():
        if name in SAME and known.get(name) != value:
            raise InputError(f"--from {source}: made for {name} {known.get(name)}, not {value}; give another table")


def probes_of(ops: Sequence[Op], known: Family | None) -> list[Op]:
    """The ops of a family that are measured first.

    Args:
        ops: The ops of the family that a table built from nothing measures.
        known: The family on the other device; None where its table lacks it.

    Returns:
        The op that takes longest there, the one in the middle, and the one at a quarter from the shortest; none where
        the other table lacks an op.
    """
    times = [None if known is None else known.look_up(grid_point(op)) for op in ops]
    if any(ms is None or isnan(ms) for ms in times):
        return []
    ascending = sorted(range(len(ops)), key=lambda at: times[at] or 0.0)
    return [ops[at] for at in sorted({ascending[len(ops) // 4], ascending[len(ops) // 2], ascending[-1]})]


def scale_of(
    probes: Sequence[Op], known: Family | None, measured: Measured, reference_ms: float, tolerance: float
) -> float | None:
    """How many times as long a family takes on the new device.

    Args:
        probes: The ops of the family that were measured.
        known: The family on the other device.
        measured: The measurements by `Op.key`, in units of the reference.
        reference_ms: Undisturbed time of the reference on the new device.
        tolerance: Fraction by which the probes may differ.

    Returns:
        The factor; None where the probes disagree or there are none, so that all ops must be measured.
    """
    if not probes or known is None:
        return None
    factors = [
        combine(measured[op.key]).relative_time * reference_ms / (known.look_up(grid_point(op)) or float("nan"))
        for op in probes
    ]
    return geometric_mean(factors) if max(factors) <= (1 + tolerance) * min(factors) else None


def scaled(known: Family, factor: float) -> Family:
    """A family that takes some times as long.

    Args:
        known: The family.
        factor: How many times.

    Returns:
        The family with other times.
    """
    return replace(known, ms=tuple(round(ms * factor, 6) for ms in known.ms))
