"""The tables of benchmarks/stages.md, from what the trainings of benchmarks/stages.py left behind.

A figure is the mean over seeds and its standard deviation; a gain is paired by seed, in points of mIoU; a dash stands
for what is not there yet.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from trainings import LATENCY, LEARNED, SHIPPED, TRAINED, figures, main_file

from compress.stages.run import Run
from compress.tflite.ranges import DEFAULT_ESTIMATOR, ESTIMATORS

IMPORTANCES, ROUNDS = ("l2", "taylor", "lamp"), (1, 4)
LOSSES = ("kl", "cwd", "dist", "skd", "boundary", "kl,cwd", "kl,dist", "kl,boundary", "adaptive", "kl,adaptive")

Figure = Callable[[Run], float | None]
Named = Sequence[tuple[str, str]]  # the titles of rows and their trainings


@dataclass(frozen=True)
class Table:
    """`text(runs)` needs the files of `trainings`, and of those that they start from."""

    title: str
    trainings: tuple[str, ...]
    text: Callable[[Sequence[Run]], str]


def int8_miou(name: str, ranges: str = "") -> Figure:
    return lambda run: _get(figures(run, name, SHIPPED), lambda s: s["int8"][ranges or main_file(s["int8"])]["miou"])


def float_miou(name: str) -> Figure:
    return lambda run: _get(figures(run, name, SHIPPED), lambda s: s["float_miou"])


def params(name: str) -> Figure:
    return lambda run: _get(figures(run, name, TRAINED), lambda t: t["params"] / 1e6)


def latency(name: str) -> Figure:
    return lambda run: _get(figures(run, name, LATENCY), lambda t: t["ms"])


def faster(name: str) -> Figure:
    return lambda run: _get(figures(run, name, LATENCY), lambda t: t["float_ms"] / t["ms"])


def smaller(name: str) -> Figure:
    return lambda run: _get(
        figures(run, name, SHIPPED), lambda s: s["int8"][main_file(s["int8"])]["size_bytes"] / s["float_size_bytes"]
    )


def against(one: Figure, other: Figure, of: Callable[[float, float], float]) -> Figure:
    def both(run: Run) -> float | None:
        found, reference = one(run), other(run)
        return None if found is None or reference is None else of(found, reference)

    return both


def points(one: Figure, other: Figure) -> Figure:
    return against(one, other, lambda found, reference: 100 * (found - reference))


def share(one: Figure, other: Figure) -> Figure:
    return against(one, other, lambda found, reference: found / reference)


def _get(found: dict[str, Any] | None, what: Callable[[dict[str, Any]], float]) -> float | None:
    return None if found is None else float(what(found))


def cell(runs: Sequence[Run], figure: Figure, digits: str) -> str:
    found = [value for run in runs if (value := figure(run)) is not None]
    if not found:
        return "-"
    spread = f" ± {format(stdev(found), digits.lstrip('+'))}" if len(found) > 1 else ""
    return format(mean(found), digits) + spread


MIOU, POINTS, MS, RATIO, MILLIONS = ".4f", "+.2f", ".2f", ".2f", ".3f"


def table(runs: Sequence[Run], heads: Sequence[str], rows: Iterable[tuple[str, Sequence[tuple[Figure, str]]]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    lines += [f"| {title} | " + " | ".join(cell(runs, *figure) for figure in cells) + " |" for title, cells in rows]
    return "\n".join(lines)


def taught_by(loss: str) -> str:
    """The training of the small network with a teacher."""
    return f"small-{loss.replace(',', '+')}"


PRUNED = (
    ("not pruned", "base-whole"),
    ("not pruned, scaled to the latency", "small"),
    ("not pruned, searched at it", "searched"),
    *((f"`{i}`, {n} round{'s' * (n > 1)}", f"prune-{i}-{n}") for i in IMPORTANCES for n in ROUNDS),
    ("`l2`, 1 round, recovery with a teacher", "prune-taught"),
    ("searched at the latency before, `l2`, 1 round", "prune-searched"),
)

RECOVERED = (
    ("not pruned", "base-whole"),
    ("not pruned, twice the steps", "base-twice"),
    ("scaled, twice the steps", "small-twice"),
    ("scaled, twice the steps, taught by a larger one with `kl`", "small-twice-kl"),
    ("scaled, twice the steps, taught by a larger one with `cwd`", "small-twice-cwd"),
    ("pruned by `l2`", "recover-l2"),
    ("pruned by `taylor`", "recover-taylor"),
    ("pruned by `l2`, taught by the network before", "recover-self"),
    ("pruned by `l2`, taught by a larger one", "recover-large"),
    ("(the larger one, twice the steps)", "large-twice"),
)

IN_TWO = (
    ("all steps at once", "base-whole"),
    ("60 % of them, then the others", "base-more"),
    ("the others taught by itself, with `kl`", "base-more-kl"),
    ("the others taught by itself, with `cwd`", "base-more-cwd"),
)

TAUGHT = (
    ("none", "small"),
    ("`kl`, taught by itself, trained before", "small-self"),
    *((f"`{loss}`", taught_by(loss)) for loss in LOSSES),
    ("(the teacher itself)", "large"),
)

ORDERS = (
    ("train", "base-whole"),
    ("train, prune", "prune-l2-1"),
    ("train, prune with a teacher (large)", "prune-taught"),
    ("train, prune, distill (the network before)", "cut-self"),
    ("train, prune, distill (large)", "cut-large"),
    ("train, prune, distill (the network before), int8", "cut-shorter-int8"),
    ("train, distill (large), prune", "taught-cut"),
    ("a smaller one: train", "small"),
    ("a smaller one: train with a teacher (large, `kl`)", "small-kl"),
)

CHAIN = (
    ("DeepLabV3+ MobileNetV2, trained as long", "mobilenetv2"),
    ("train, prune, distill", "cut-self"),
    ("train, prune, distill (large)", "cut-large"),
    ("train, prune, distill, int8", "cut-shorter-int8"),
)

HANDED_OVER = (
    ("1.0 (not pruned), scaled", "small"),
    ("1.25, scaled", "prune-middle"),
    ("1.67, scaled", "prune-l2-1"),
    ("1.0 (not pruned), searched", "searched"),
    ("1.67, searched", "prune-searched"),
)

QUANTIZED = "cut-self"


def pruning(named: Named, others: Named) -> Callable[[Sequence[Run]], str]:
    """Points are against `others`."""

    def row(name: str) -> list[tuple[Figure, str]]:
        found = int8_miou(name)
        lost = [(points(found, int8_miou(other)), POINTS) for _, other in others]
        kept = share(latency(name), latency("base-whole"))
        return [(found, MIOU), *lost, (latency(name), MS), (kept, RATIO), (params(name), MILLIONS)]

    compared = (f"points against {title}" for title, _ in others)
    heads = ("", "int8 mIoU", *compared, "ms", "of its latency", "M parameters")
    return lambda runs: table(runs, heads, [(title, row(name)) for title, name in named])


def gains(head: str, named: Named) -> Callable[[Sequence[Run]], str]:
    """Points are against the first."""
    _, first = named[0]

    def row(name: str) -> list[tuple[Figure, str]]:
        return [(int8_miou(name), MIOU), (points(int8_miou(name), int8_miou(first)), POINTS)]

    return lambda runs: table(runs, (head, "int8 mIoU", "points gained"), [(title, row(name)) for title, name in named])


def quantization(runs: Sequence[Run]) -> str:
    source = QUANTIZED

    def cells(name: str, ranges: str) -> list[tuple[Figure, str]]:
        found = int8_miou(name, ranges)
        return [(found, MIOU), (points(found, float_miou(source)), POINTS)]

    rows = [("the float file", [(float_miou(source), MIOU), (points(float_miou(source), float_miou(source)), POINTS)])]
    rows += [(f"`{name}`", cells(source, name)) for name in ESTIMATORS]
    rows += [(f"`{name}`, then trained in int8", cells(f"int8-{name}", LEARNED)) for name in ESTIMATORS]
    found = table(runs, ("ranges", "mIoU", "points against float"), rows)
    ratios = [("size", smaller(source)), ("speed", faster(source))]
    return found + "\n\n" + table(runs, ("int8 against float, same core", ""), [(n, [(f, RATIO)]) for n, f in ratios])


def orders(runs: Sequence[Run]) -> str:
    rows = [
        (title, [(int8_miou(name), MIOU), (points(int8_miou(name), int8_miou("prune-l2-1")), POINTS),
                 (latency(name), MS)])
        for title, name in ORDERS
    ]  # fmt: skip
    return table(runs, ("order", "int8 mIoU", "points against train, prune", "ms"), rows)


def chain(runs: Sequence[Run]) -> str:
    rows = [
        (title, [(int8_miou(name), MIOU), (points(int8_miou(name), int8_miou("mobilenetv2")), POINTS),
                 (latency(name), MS), (params(name), MILLIONS)])
        for title, name in CHAIN
    ]  # fmt: skip
    return table(runs, ("", "int8 mIoU", "points", "ms", "M parameters"), rows)


def hand_over(runs: Sequence[Run]) -> str:
    def row(title: str, name: str) -> list[tuple[Figure, str]]:
        one = "searched" if "searched" in title else "small"
        return [(int8_miou(name), MIOU), (points(int8_miou(name), int8_miou(one)), POINTS), (latency(name), MS)]

    rows = [(title, row(title, name)) for title, name in HANDED_OVER]
    return table(runs, ("latency handed over / target", "int8 mIoU", "points against 1.0", "ms"), rows)


def of(named: Named) -> tuple[str, ...]:
    return tuple(name for _, name in named)


TABLES = {
    "pruning": Table(
        "Pruning",
        of(PRUNED),
        pruning(PRUNED, (("not pruned", "base-whole"), ("scaled", "small"), ("searched", "searched"))),
    ),
    "recovery": Table(
        "Pruning after a whole training, and as long a recovery",
        of(RECOVERED),
        pruning(
            RECOVERED, (("not pruned", "base-whole"), ("twice the steps", "base-twice"), ("scaled", "small-twice"))
        ),
    ),
    "in-two": Table("One training or two, nothing pruned", of(IN_TWO), gains("steps", IN_TWO)),
    "distillation": Table("Distillation", of(TAUGHT), gains("loss", TAUGHT)),
    "int8": Table(
        f"int8 (default ranges: {DEFAULT_ESTIMATOR})",
        (QUANTIZED, *(f"int8-{name}" for name in ESTIMATORS)),
        quantization,
    ),
    "orders": Table("Order of stages", of(ORDERS), orders),
    "chain": Table("The whole chain", of(CHAIN), chain),
    "hand-over": Table("How much larger a network the search should hand over", of(HANDED_OVER), hand_over),
}


def show(names: Sequence[str], runs: Sequence[Run]) -> str:
    return "\n".join(f"## {TABLES[name].title}\n\n{TABLES[name].text(runs)}\n" for name in names)
