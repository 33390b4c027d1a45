"""Builds a latency table: measures the ops a space can ask for, then fits how they join to whole networks."""

import json
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from compress import timing
from compress.run import write_atomically, write_json
from compress.skeleton import skeleton
from compress.target import Target
from search_spaces import Space
from search_spaces.errors import InputError
from search_spaces.genotype import CHANNEL_STEP, round_channels
from search_spaces.latency_table import GROUPS, Family, LatencyTable, channels, family, sides
from search_spaces.ops import ADD, ARGMAX, CONCAT, CONV, MUL, Graph, Op
from search_spaces.trials import Largest, Random, Smallest

GRID = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072)
CONV_GRID = (8, 16, 32, 64, 128, 256, 512, 1024, 1536, 2048, 3072)
TOGETHER, NETWORKS_TOGETHER = 6, 12  # models timed in turns
OP_SECONDS, NETWORK_SECONDS = 0.06, 0.6
FITTED, HELD_OUT = 36, 12  # whole networks that calibrate the table, and that test it
BUSY = 0.06  # residual RMSPE from which the user is told to measure again
SHRINK = 0.03  # pulls each coefficient towards 1, so that a rarely seen group stays sane


@dataclass(frozen=True)
class Wanted:
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


class Widest(Random):
    """The largest of every number and any of every choice: with all that is narrower, every op of a space."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int:
        return high


def genotype_graph(wanted: Wanted, trial: Any) -> Graph:
    return wanted.space.graph(wanted.space.sample(trial, wanted.classes, wanted.input_size))


def measuring_plan(wanted: Wanted) -> dict[str, list[Op]]:
    """For each family the ops to measure: the grid points at or below the cells that the space reaches, and
    down to 8 channels, which pruning may reach."""
    rng = random.Random(0)
    trials = [Smallest(), Largest(), *(Widest(rng) for _ in range(1500)), *(Random(rng) for _ in range(500))]
    reached: dict[str, dict[tuple[int, ...], Op]] = {}
    for trial in trials:
        for op in genotype_graph(wanted, trial):
            reached.setdefault(family(op), {}).setdefault(channels(op), op)
    return {name: _family_plan(list(ops.values())) for name, ops in sorted(reached.items())}


def _family_plan(ops: Sequence[Op]) -> list[Op]:
    places = [channels(op) for op in ops]
    grid = CONV_GRID if ops[0].kind == CONV else GRID
    axes = [[*(c for c in grid if c < max(axis)), max(axis)] for axis in zip(*places, strict=True)]
    corners = {tuple(_ceiling(axis, value) for axis, value in zip(axes, place, strict=True)) for place in places}
    points = [p for p in product(*axes) if any(all(a <= b for a, b in zip(p, c, strict=True)) for c in corners)]
    return [with_channels(ops[0], point) for point in points]


def _ceiling(axis: Sequence[int], value: int) -> int:
    return next(point for point in axis if point >= value)


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


def build(wanted: Wanted, path: Path) -> LatencyTable:
    """Measures, fits and writes the table; an interrupted build goes on from what it had measured."""
    begun = time.monotonic()
    plan = measuring_plan(wanted)
    measured = measure_ops(wanted, [op for ops in plan.values() for op in ops], path.with_suffix(".partial"))
    reference_ms = wanted.target.fastest_reference_ms()
    families = {name: _family_of(ops, measured, reference_ms) for name, ops in plan.items()}
    wanted = replace(wanted, target=replace(wanted.target, reference_ms=reference_ms))
    plain = dict.fromkeys(GROUPS, 1.0) | {"intercept": 0.0}
    table = LatencyTable(wanted.made_for(), families, plain, {}, {})
    sums, totals = measure_networks(wanted, table, FITTED + HELD_OUT, seed=1)
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
        "ops": len(measured),
        "median_spread": spread,
        "seconds_per_op": OP_SECONDS,
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
    path.with_suffix(".partial").unlink(missing_ok=True)
    return table


def measure_ops(wanted: Wanted, ops: Sequence[Op], partial: Path) -> dict[str, dict[str, float]]:
    """Every op by its key: its time in units of the reference, and the spread of its runs (90th less 10th
    percentile over the median). Those in `partial` are not measured again."""
    measured: dict[str, dict[str, float]] = {}
    made_for = wanted.made_for()
    if partial.exists():
        stored = json.loads(partial.read_text())
        measured = stored["measured"] if stored["made_for"] == made_for else {}
    left = [op for op in ops if op.key not in measured]
    saved = time.monotonic()
    bar = tqdm(total=len(ops), initial=len(ops) - len(left), desc="latency table", unit="op", dynamic_ncols=True)
    for at in range(0, len(left), TOGETHER):
        group = left[at : at + TOGETHER]
        models = [skeleton((op,), wanted.precision) for op in group]
        for op, latency in zip(group, wanted.target.measure(models, OP_SECONDS), strict=True):
            spread = (latency.p90_ms - latency.p10_ms) / latency.ms
            measured[op.key] = {"references": latency.references, "spread": spread}
        bar.update(len(group))
        if time.monotonic() - saved > 5:
            write_json(partial, {"made_for": made_for, "measured": measured})
            saved = time.monotonic()
    bar.close()
    return measured


def _family_of(ops: Sequence[Op], measured: dict[str, dict[str, float]], reference_ms: float) -> Family:
    found = {channels(op): measured[op.key] for op in ops}
    axes = tuple(tuple(sorted(set(axis))) for axis in zip(*found, strict=True))
    points = [found.get(point, {"references": nan, "spread": nan}) for point in product(*axes)]
    ms = tuple(round(point["references"] * reference_ms, 6) for point in points)
    return Family(axes, ms, tuple(round(point["spread"], 3) for point in points))


def measure_networks(
    wanted: Wanted, table: LatencyTable, count: int, seed: int
) -> tuple[list[dict[str, float]], list[float]]:
    """Sums of ops by group and measured ms of random whole networks."""
    rng = random.Random(seed)
    graphs = [genotype_graph(wanted, Random(rng)) for _ in range(count)]
    totals: list[float] = []
    bar = tqdm(total=count, desc="whole networks", unit="net", dynamic_ncols=True)
    for at in range(0, count, NETWORKS_TOGETHER):
        group = [skeleton(graph, wanted.precision) for graph in graphs[at : at + NETWORKS_TOGETHER]]
        totals += [latency.ms for latency in wanted.target.measure(group, NETWORK_SECONDS)]
        bar.update(len(group))
    bar.close()
    return [table.group_ms(graph) for graph in graphs], totals


def fit(sums: Sequence[dict[str, float]], totals: Sequence[float]) -> dict[str, float]:
    """Least squares of relative errors: an intercept in ms and a factor for each group of ops."""
    rows = [[1.0, *(s[g] for g in GROUPS)] for s in sums]
    weighted = [[value / total for value in row] for row, total in zip(rows, totals, strict=True)]
    pull = np.eye(len(GROUPS) + 1) * SHRINK * len(totals) ** 0.5
    pulled = np.array([0.0, *([SHRINK * len(totals) ** 0.5] * len(GROUPS))])
    solution = np.linalg.lstsq(np.vstack([weighted, pull]), np.concatenate([np.ones(len(totals)), pulled]), rcond=None)
    intercept, *factors = (float(value) for value in solution[0])
    return {"intercept": intercept, **dict(zip(GROUPS, factors, strict=True))}


def _predicted(sums: dict[str, float], coefficients: dict[str, float]) -> float:
    return coefficients["intercept"] + sum(coefficients[g] * sums[g] for g in GROUPS)


def load_table(path: Path, wanted: Wanted) -> LatencyTable:
    """Raises InputError when the file is missing, damaged or made for something else."""
    if not path.is_file():
        raise InputError(f"{path} is missing; build it with {wanted.command()}")
    table = LatencyTable.from_json(path.read_text(errors="replace"), str(path))
    for name, value in wanted.made_for().items():
        if table.made_for.get(name) != value:
            made = table.made_for.get(name)
            raise InputError(f"{path}: made for {name} {made}, not {value}; build one with {wanted.command()}")
    return table
