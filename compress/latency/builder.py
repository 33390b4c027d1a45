"""Builds a latency table: measures the ops a space can ask for, then fits how they join to whole networks."""

import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial as later
from itertools import chain, product
from math import nan
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from scipy.optimize import nnls

from compress.files.atomic import write_atomically
from compress.latency import timing
from compress.latency.repeats import Measurement, MeasurementPlan, combine, measure_repeatedly, wants_another
from compress.latency.table import GROUPS, VERSION, Family, LatencyTable, channels, curves, family, sides
from compress.latency.targets import Target
from compress.tflite.writer import random_weight_model
from search_spaces import Space
from search_spaces.errors import InputError
from search_spaces.genotype import CHANNEL_STEP, round_channels
from search_spaces.ops import ADD, ARGMAX, CONCAT, MUL, Graph, Op
from search_spaces.trials import LargestTrial, RandomTrial, SmallestTrial

RATIO = 2.1  # of one measured point's channels to the next
OPS = MeasurementPlan("latency table", seconds=0.01, together=6, agree=0.08)
NETWORKS = MeasurementPlan("whole networks", seconds=0.3, together=12, agree=0.04)
FITTED, HELD_OUT = 30, 10  # whole networks that calibrate the table, and that test it
YARDSTICKS = 4  # whole networks that are timed beside all others, in the build and in every check
BUSY = 0.06  # residual RMSPE from which the user is told to measure again
SHRINK = 0.03  # pulls each coefficient towards 1, so that a rarely seen group stays sane


@dataclass(frozen=True)
class TableSpec:
    """What a table is asked to hold true of."""

    space: Space
    classes: int
    input_size: tuple[int, int]
    precision: str
    target: Target

    def made_for(self) -> dict[str, Any]:
        return {
            "space": self.space.name,
            "classes": self.classes,
            "input_size": list(self.input_size),
            "precision": self.precision,
            "target": self.target.name,
            "threads": self.target.threads,
            "runtime": self.target.facts()["runtime"],
            "processor": self.target.facts()["processor"],
        }

    def path(self, folder: Path) -> Path:
        height, width = self.input_size
        target = re.sub(r"[^\w.@-]", "-", self.target.name)
        stem = f"{target}-{self.space.name}-{self.precision}-{height}x{width}"
        return folder / f"{stem}-c{self.classes}-t{self.target.threads}.json"

    def command(self) -> str:
        height, width = self.input_size
        return (
            f"python -m nas.latency build --target {self.target.name} --space {self.space.name} "
            f"--precision {self.precision} --input-size {height}x{width} --classes {self.classes} "
            f"--threads {self.target.threads}"
        )


class Widest(RandomTrial):
    """The largest of every number and any of every choice: with all that is narrower, every op of a space."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        return high


def genotype_graph(wanted: TableSpec, trial: Any) -> Graph:
    return wanted.space.graph(wanted.space.sample(trial, wanted.classes, wanted.input_size))


def measuring_plan(wanted: TableSpec) -> dict[str, list[Op]]:
    """For each family the ops to measure: grid points around every place that the space reaches, and down to 8
    channels, which pruning may reach."""
    rng = random.Random(0)
    trials = [
        SmallestTrial(),
        LargestTrial(),
        *(Widest(rng) for _ in range(1500)),
        *(RandomTrial(rng) for _ in range(500)),
    ]
    reached: dict[tuple[object, ...], dict[tuple[int, ...], Op]] = {}  # by size of image and kernel
    for trial in trials:
        for op in genotype_graph(wanted, trial):
            sizes = (frozenset(shape[:2] for shape in op.in_shapes), op.shape[:2])
            size = (op.kind, op.kernel, op.stride, op.dilation, *sizes, len(channels(op)))
            reached.setdefault(size, {}).setdefault(channels(op), op)
    plan: dict[str, list[Op]] = {}
    for ops in reached.values():
        for op in _points(list(ops.values()), wanted.precision):
            plan.setdefault(family(op, wanted.precision), []).append(op)
    return dict(sorted(plan.items()))


def _points(ops: Sequence[Op], precision: str) -> list[Op]:
    """A grid for each combination of curves that ops of one size may lie on."""
    places = [channels(op) for op in ops]
    if not places[0]:
        return [ops[0]]
    most = [max(axis) for axis in zip(*places, strict=True)]
    grids: list[list[list[int]]] = []  # for each axis, one list of channels for each curve
    for i, end in enumerate(most):
        lies: dict[str, list[int]] = {}
        for width in range(CHANNEL_STEP, end + 1, CHANNEL_STEP):
            moved = with_channels(ops[0], (*most[:i], width, *most[i + 1 :]))
            on = zip(curves(moved, precision), sides(moved), strict=True)
            free = [name for name, c in on if c % CHANNEL_STEP == 0]
            lies.setdefault(free[i], []).append(width)
        grids.append([_thinned(values) for values in lies.values()])
    found = []
    for axes in product(*grids):
        corners = {tuple(_ceiling(axis, c) for axis, c in zip(axes, place, strict=True)) for place in places}
        for point in product(*axes):
            if any(all(a <= b for a, b in zip(point, corner, strict=True)) for corner in corners):
                found.append(with_channels(ops[0], point))
    return found


def _thinned(channels_: Sequence[int]) -> list[int]:
    kept = [channels_[0]]
    for width in channels_[1:]:
        if width >= kept[-1] * RATIO or width == channels_[-1]:
            kept.append(width)
    return kept


def _ceiling(axis: Sequence[int], value: int) -> int:
    return next((point for point in axis if point >= value), axis[-1])


def with_channels(op: Op, at: tuple[int, ...]) -> Op:
    """The same work at another place on its family's grid."""
    (h, w, _), (oh, ow, _) = op.in_shapes[0], op.shape
    places = iter(at)
    new = [next(places) if c % CHANNEL_STEP == 0 else c for c in sides(op)]
    if op.kind == CONCAT:  # two halves stand for any number of parts: the bytes moved are the same
        half = max(CHANNEL_STEP, round_channels(new[0] / 2))
        parts = (half, max(CHANNEL_STEP, new[0] - half))
        return op._replace(inputs=("a", "b"), in_shapes=tuple((h, w, c) for c in parts), shape=(oh, ow, sum(parts)))
    if op.kind in (ADD, MUL):
        shapes = tuple((*shape[:2], new[0]) for shape in op.in_shapes)
        return op._replace(inputs=("a", "b"), in_shapes=shapes, shape=(oh, ow, new[0]))
    return op._replace(in_shapes=((h, w, new[0]),), shape=(oh, ow, 1 if op.kind == ARGMAX else new[-1]))


def build(wanted: TableSpec, path: Path) -> LatencyTable:
    """Measures, fits and writes the table; an interrupted build goes on from what it had measured."""
    begun = time.monotonic()
    plan = measuring_plan(wanted)
    partial, made_for = path.with_suffix(".partial"), {**wanted.made_for(), "version": VERSION}
    ops = list(chain.from_iterable(plan.values()))
    random.Random(0).shuffle(ops)  # a slow minute is to hit points of all families, not all points of one
    files = {op.key: later(random_weight_model, (op,), wanted.precision) for op in ops}
    looks = measure_repeatedly(wanted.target, files, OPS, partial, made_for)
    measured = {key: combine(found) for key, found in looks.items()}
    reference_ms = wanted.target.fastest_reference_ms()
    families = {name: family_of(points, measured, reference_ms) for name, points in plan.items()}
    table = LatencyTable(wanted.made_for(), families, dict.fromkeys(GROUPS, 1.0) | {"intercept": 0.0}, {}, {})
    networks = random_networks(wanted, FITTED + HELD_OUT, seed=1)
    whole = {name: later(random_weight_model, graph, wanted.precision) for name, graph in networks.items()}
    found = measure_repeatedly(
        wanted.target, whole, NETWORKS, partial.with_suffix(".networks"), made_for, control_network_files(wanted)
    )
    unit_ms = median_unit(found) * reference_ms
    totals = [combine(looks)["units"] * unit_ms for looks in found.values()]
    sums = [table.group_ms(graph) for graph in networks.values()]
    coefficients = fit(sums[:FITTED], totals[:FITTED])
    table = replace(table, coefficients=coefficients)
    errors = [_predicted(s, coefficients) / t - 1 for s, t in zip(sums[FITTED:], totals[FITTED:], strict=True)]
    residuals = {
        "models": float(HELD_OUT),
        "rmspe": float(np.sqrt(np.mean(np.square(errors)))),
        "worst": float(np.max(np.abs(errors))),
    }
    spread = float(np.median([m["spread"] for m in measured.values()]))
    provenance = {
        **wanted.target.facts(),
        "date": time.strftime("%Y-%m-%d"),
        "reference_ms": reference_ms,
        "yardsticks_ms": unit_ms,
        "ops": len(measured),
        "median_spread": spread,
        "looks": sum(map(len, looks.values())),
        "unsettled": sum(wants_another(made, len(made) + 1, OPS) for made in looks.values()),
        "seconds_per_look": OPS.seconds,
        "warm_up_runs": timing.WARM_UP,
        "least_runs": timing.LEAST_RUNS,
        "rounds": timing.ROUNDS,
        "seconds": round(time.monotonic() - begun, 1),
    }
    table = replace(table, residuals=residuals, provenance=provenance)
    write_atomically(path, table.to_json().encode())
    if residuals["rmspe"] > BUSY:
        print(
            f"the machine was busy: predictions are {residuals['rmspe']:.1%} off on networks not fitted; "
            f"for a better table, delete {path} and build it on a quiet machine"
        )
    for kept in (partial, partial.with_suffix(".networks")):
        kept.unlink(missing_ok=True)
    return table


def family_of(ops: Sequence[Op], measured: dict[str, dict[str, float]], reference_ms: float) -> Family:
    found = {channels(op): measured[op.key] for op in ops}
    axes = tuple(tuple(sorted(set(axis))) for axis in zip(*found, strict=True))
    points = [found.get(point, {"units": nan, "spread": nan}) for point in product(*axes)]
    ms = tuple(round(point["units"] * reference_ms, 6) for point in points)
    return Family(axes, ms, tuple(round(point["spread"], 3) for point in points))


def random_networks(wanted: TableSpec, count: int, seed: int) -> dict[str, Graph]:
    rng = random.Random(seed)
    return {f"network {seed}.{i}": genotype_graph(wanted, RandomTrial(rng)) for i in range(count)}


def control_network_files(wanted: TableSpec) -> list[bytes]:
    graphs = random_networks(wanted, YARDSTICKS, seed=2).values()
    return [random_weight_model(graph, wanted.precision) for graph in graphs]


def median_unit(looks: Mapping[str, Sequence[Measurement]]) -> float:
    """What the yardsticks took together, in units of the reference."""
    return median(one["unit"] for made in looks.values() for one in made)


def fit(sums: Sequence[dict[str, float]], totals: Sequence[float]) -> dict[str, float]:
    """Least squares of relative errors: an intercept in ms and a factor for each group of ops. None is below zero, or a
    table of a busy machine might predict that the smallest networks take less than no time."""
    rows = [[1.0, *(s[g] for g in GROUPS)] for s in sums]
    weighted = [[value / total for value in row] for row, total in zip(rows, totals, strict=True)]
    pull = np.eye(len(GROUPS) + 1) * SHRINK * len(totals) ** 0.5
    pulled = np.array([0.0, *([SHRINK * len(totals) ** 0.5] * len(GROUPS))])
    solution, _ = nnls(np.vstack([weighted, pull]), np.concatenate([np.ones(len(totals)), pulled]))
    intercept, *factors = map(float, solution)
    return {"intercept": intercept, **dict(zip(GROUPS, factors, strict=True))}


def _predicted(sums: dict[str, float], coefficients: dict[str, float]) -> float:
    return coefficients["intercept"] + sum(coefficients[g] * sums[g] for g in GROUPS)


def load_table(path: Path, wanted: TableSpec) -> LatencyTable:
    """Raises InputError when the file is missing, damaged or made for something else."""
    if not path.is_file():
        raise InputError(f"{path} is missing; build it with {wanted.command()}")
    table = LatencyTable.from_json(path.read_text(errors="replace"), str(path))
    for name, value in wanted.made_for().items():
        if table.made_for.get(name) != value:
            made = table.made_for.get(name)
            raise InputError(f"{path}: made for {name} {made}, not {value}; build one with {wanted.command()}")
    return table
