"""python benchmarks/table_fits.py FILE [--measure] [--minutes 15]: what would make latency tables more exact.

With `--measure`, raw measurements of single ops and of whole networks are kept in FILE: float32 with one thread, int8
with two threads and with one, at 512x512. That needs a quiet machine. Without it, ways to tell a network's time from
its runs, and ways to fit ops to networks, are tried on the measurements in FILE. For each, tables are fitted on 30
networks, drawn 40 times, and tested on the others. benchmarks/latency.md says what came out.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from compress.latency import timing
from compress.latency.builder import family_of
from compress.latency.families import BYTES
from compress.latency.fit import SHRINK, UNFITTED
from compress.latency.group_disturbances import group_disturbances
from compress.latency.networks import control_network_files, random_networks
from compress.latency.op_plan import plan_ops
from compress.latency.reference import reference_models
from compress.latency.repeats import Measurement
from compress.latency.spec import TableSpec
from compress.latency.table import GROUPS, Calibration, LatencyTable
from compress.latency.targets import HostTarget
from compress.tflite.writer import random_weight_model
from search_spaces import get_space
from search_spaces.ops import CONV, DEPTHWISE, Graph, Op

CASES = (("float32", 1), ("int8", 2), ("int8", 1))
SIZE = (512, 512)
NETWORKS, REPEATS, GROUP = 60, 3, 12
OP_SECONDS, NETWORK_SECONDS, COLD_RUNS = 0.01, 0.3, 4
QUANTILES = (0.1, 0.25, 0.5)
EVICTED = np.ones(2 << 20, np.uint8), np.ones(2 << 20, np.uint8)  # more than the second cache holds
FITTED, SPLITS = 30, 40
ROW = "| {} | {:.1%} | {} | {:.2%} | {:.0%} |"
LARGE = 512 * 1024  # bytes that an op reads and writes, from which on they do not stay in the second cache
Raw = Mapping[str, Any]


def cold_time(model: bytes, threads: int, reference: timing.Reference) -> float:
    """Times a model that other data pushed out of the caches before each run.

    Args:
        model: The content of a .tflite file.
        threads: Threads of the runtime.
        reference: The reference.

    Returns:
        The median time in units of the reference.
    """
    interpreter = timing.load(model, threads)
    interpreter.invoke()
    before, taken = reference.time(timing.CHUNK_SECONDS), []
    for _ in range(COLD_RUNS):
        np.copyto(*EVICTED)
        begun = time.perf_counter()
        interpreter.invoke()
        taken.append(time.perf_counter() - begun)
    return float(np.median(taken)) / ((before + reference.time(sum(taken))) / 2)


def runs_of(
    models: Sequence[bytes], seconds: float, target: HostTarget, reference: timing.Reference
) -> list[list[float]]:
    """Times models in turns.

    Args:
        models: The content of .tflite files.
        seconds: For about so long each model runs.
        target: This machine.
        reference: The reference.

    Returns:
        For each model QUANTILES of its runs, in units of the reference.
    """
    with timing.pinned([core.number for core in target.chosen_cores]):
        timings = [timing._Timing(timing.load(model, target.threads), target.threads, reference) for model in models]
        rounds = max(1, min(timing.ROUNDS, round(seconds / timing.ROUND_SECONDS)))
        for turn in range(1, rounds + 1):
            for one in timings:
                one.run(seconds / rounds, timing.MIN_RUNS * turn // rounds)
    return [[float(q) for q in np.quantile([t / beside for t, beside in one.runs], QUANTILES)] for one in timings]


def measure(spec: TableSpec, reference: timing.Reference, deadline: float) -> dict[str, Any]:
    """Measures ops and networks in turns, REPEATS times the networks and twice the ops.

    Args:
        spec: Precision, threads and size.
        reference: The reference.
        deadline: When to stop, as `time.monotonic` tells the time.

    Returns:
        `ops`, `cold` and `networks`; a network's measurements begin with the number of the group.
    """
    target = spec.target
    assert isinstance(target, HostTarget)
    files = {n: random_weight_model(g, spec.precision) for n, g in random_networks(spec, NETWORKS, 1).items()}
    controls = control_network_files(spec)
    ops = list(chain.from_iterable(plan_ops(spec).values()))
    random.Random(0).shuffle(ops)
    found: dict[str, Any] = {"ops": {}, "cold": {}, "networks": {}, "controls": []}
    for repeat in range(REPEATS):
        names = random.Random(repeat).sample(list(files), len(files))
        for at in range(0, len(names), GROUP):
            if time.monotonic() > deadline:
                return found
            group = names[at : at + GROUP]
            made = runs_of([*(files[name] for name in group), *controls], NETWORK_SECONDS, target, reference)
            for name, quantiles in zip(group, made, strict=False):
                found["networks"].setdefault(name, []).append([len(found["controls"]), *quantiles])
            found["controls"].append(made[len(group) :])
        for at in range(0, len(ops) if repeat < 2 else 0, 6):
            some = {op.key: random_weight_model((op,), spec.precision) for op in ops[at : at + 6]}
            for key, quantiles in zip(some, runs_of(list(some.values()), OP_SECONDS, target, reference), strict=True):
                found["ops"].setdefault(key, []).append(quantiles)
                if repeat == 0:
                    found["cold"][key] = cold_time(some[key], target.threads, reference)
    return found


def network_times(raw: Raw, quantile: int, groups_out: bool) -> tuple[dict[str, float], float]:
    """Tells the times of networks from their measurements.

    Args:
        raw: What `measure` returned.
        quantile: Which of QUANTILES counts.
        groups_out: Whether the disturbances of groups are taken out.

    Returns:
        The times in units of the control networks, and the standard deviation of the logarithm of one measurement.
    """
    controls = [float(np.exp(np.mean([np.log(one[quantile]) for one in group]))) for group in raw["controls"]]
    made = {
        name: [(group, quantiles[quantile] / controls[group]) for group, *quantiles in all_made]
        for name, all_made in raw["networks"].items()
    }
    factors = group_disturbances(made, len(controls)) if groups_out else [1.0] * len(controls)
    times = {name: [time / factors[group] for group, time in one] for name, one in made.items()}
    deviation = float(np.sqrt(np.mean([np.var(np.log(one), ddof=1) for one in times.values() if len(one) > 1])))
    return {name: float(np.median(one)) for name, one in times.items()}, deviation


def table_of(spec: TableSpec, times: Mapping[str, float]) -> LatencyTable:
    """A table that is not fitted.

    Args:
        spec: What it is for.
        times: The time of each op, by its key.

    Returns:
        The table.
    """
    measured = {key: Measurement(time, 1.0, 0.0) for key, time in times.items()}
    families = {name: family_of(ops, measured, 1.0) for name, ops in plan_ops(spec).items()}
    return LatencyTable({"precision": spec.precision}, families, UNFITTED, {}, Calibration(1.0, 1.0), {})


def by(table: LatencyTable, graph: Graph, name: Callable[[Op], str]) -> dict[str, float]:
    """Sums over the ops of a network.

    Args:
        table: The table.
        graph: The ops.
        name: Which sum an op belongs to.

    Returns:
        The sums by name.
    """
    sums: dict[str, float] = {}
    for op in graph:
        sums[name(op)] = sums.get(name(op), 0.0) + table.op_ms(op)
    return sums


def ways(warm: LatencyTable, cold: LatencyTable, precision: str) -> dict[str, Callable[[Graph], dict[str, float]]]:
    """The ways to join ops to networks.

    Args:
        warm: The table of ops as they are measured today.
        cold: That of ops that were pushed out of the caches.
        precision: "int8" or "float32".

    Returns:
        For each way the terms of a network that are fitted.
    """

    def bytes_of(op: Op) -> float:
        return float(BYTES[precision] * sum(h * w * c for h, w, c in (*op.in_shapes, op.shape)))

    def kind(op: Op) -> str:
        return f"{op.kind}{op.kernel}" if op.kind in (CONV, DEPTHWISE) else "other"

    def size(op: Op) -> str:
        group = op.kind if op.has_weights else GROUPS[-1]
        return f"{group} {'large' if bytes_of(op) > LARGE else 'small'}"

    def weights(graph: Graph) -> float:
        return float(sum(np.prod(op.weight_shape) for op in graph if op.has_weights))

    def large(graph: Graph) -> float:
        return sum(max(0.0, bytes_of(op) - LARGE) for op in graph)

    return {
        "three factors and an intercept, as today": warm.group_ms,
        "and a term for each op": lambda graph: {**warm.group_ms(graph), "+ops": len(graph)},
        "and a term for the weights": lambda graph: {**warm.group_ms(graph), "+weights": weights(graph)},
        "and a term for bytes of large values": lambda graph: {**warm.group_ms(graph), "+large": large(graph)},
        "a factor for each kind and kernel": lambda graph: by(warm, graph, kind),
        "factors for small and for large ops": lambda graph: by(warm, graph, size),
        "ops measured with cold caches": cold.group_ms,
    }


def held_out_errors(terms: Sequence[Mapping[str, float]], times: Sequence[float]) -> np.ndarray:
    """Relative errors on networks not fitted.

    Args:
        terms: Those of each network. Names that begin with + are no sums of times.
        times: The measured times.

    Returns:
        The errors of all splits.
    """
    names = sorted({name for one in terms for name in one})
    rows = np.array([[1.0, *(one.get(name, 0.0) for name in names)] for one in terms])
    total = np.array(times)
    rows[:, 1:] /= np.where([name.startswith("+") for name in names], rows[:, 1:].mean(0) + 1e-9, 1.0)
    unit = np.array([0.0, *(not name.startswith("+") for name in names)])
    scale = float(np.median(total / (rows @ unit)))  # ops are in units of the reference, networks in those of controls
    errors = []
    for split in range(SPLITS):
        order = np.random.default_rng(split).permutation(len(total))
        fitted, tested = order[:FITTED], order[FITTED:]
        pull = SHRINK * FITTED**0.5
        left = np.vstack([rows[fitted] * scale / total[fitted, None], np.diag(np.full(len(unit), pull))])
        factors, _ = nnls(left, np.concatenate([np.ones(FITTED), pull * unit]))
        errors.append(rows[tested] @ factors * scale / total[tested] - 1)
    return np.concatenate(errors)


def report(spec: TableSpec, raw: Raw) -> None:
    """Prints what came out for one case.

    Args:
        spec: The case.
        raw: Its measurements.
    """
    graphs = random_networks(spec, NETWORKS, 1)
    cold = table_of(spec, raw["cold"])
    print("| networks and ops | one measurement varies by | joined by | RMSPE | within 5 % |\n" + "|---" * 5 + "|")
    for at, quantile in reversed(list(enumerate(QUANTILES))):
        warm = table_of(spec, {key: float(np.median([q[at] for q in made])) for key, made in raw["ops"].items()})
        for out in (False, True):
            times, deviation = network_times(raw, at, out)
            told = f"quantile {quantile:g}, " + ("groups' disturbances out" if out else "control networks only")
            for name, terms in ways(warm, cold, spec.precision).items():
                errors = held_out_errors([terms(graphs[network]) for network in times], list(times.values()))
                rmspe, within = np.sqrt(np.mean(errors**2)), np.mean(np.abs(errors) <= 0.05)
                print(ROW.format(told, deviation, name, rmspe, within))


def main() -> None:
    """Measures, or tries."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("file", type=Path)
    flags.add_argument("--measure", action="store_true")
    flags.add_argument("--minutes", type=float, default=15.0, help="stop measuring after so long (default: 15)")
    given = flags.parse_args()
    raw: dict[str, Any] = {} if given.measure else json.loads(given.file.read_text())
    deadline = time.monotonic() + 60 * given.minutes
    reference = timing.Reference(reference_models()) if given.measure else None
    for precision, threads in CASES:
        spec = TableSpec(get_space("deeplabv3plus"), 8, SIZE, precision, HostTarget(threads))
        case = f"{precision}, {threads} thread{'s' * (threads > 1)}"
        if reference is not None:
            begun = time.monotonic()
            raw[case] = measure(spec, reference, deadline)
            given.file.write_text(json.dumps(raw))
            print(f"{case}: {time.monotonic() - begun:.0f} s", flush=True)
        elif len(raw[case]["controls"]) * GROUP > NETWORKS:  # its ops were measured
            print(f"\n## {case}\n")
            report(spec, raw[case])


if __name__ == "__main__":
    main()
