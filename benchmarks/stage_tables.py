"""The tables of benchmarks/stages.md, from what the trainings of benchmarks/stages.py left behind.

A figure is the mean over seeds and its standard deviation; a gain is paired by seed, in points of mIoU; a dash stands
for what is not there yet.
"""

from collections.abc import Callable, Iterable, Sequence
from statistics import mean, stdev
from typing import Any

from trainings import LATENCY, LEARNED, SHIPPED, TRAINED, figures, main_file

from compress.ranges import DEFAULT
from compress.stage import Run

Figure = Callable[[Run], float | None]


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


def pruning(runs: Sequence[Run], importances: Sequence[str], rounds: Sequence[int]) -> str:
    def row(name: str) -> list[tuple[Figure, str]]:
        found = int8_miou(name)
        lost = [(points(found, int8_miou(other)), POINTS) for other in ("base-whole", "small", "searched")]
        kept = share(latency(name), latency("base-whole"))
        return [(found, MIOU), *lost, (latency(name), MS), (kept, RATIO), (params(name), MILLIONS)]

    rows = [("not pruned", row("base-whole"))]
    rows += [("not pruned, scaled to the latency", row("small")), ("not pruned, searched at it", row("searched"))]
    rows += [(f"`{i}`, {n} round{'s' * (n > 1)}", row(f"prune-{i}-{n}")) for i in importances for n in rounds]
    rows += [("`l2`, 1 round, recovery with a teacher", row("prune-taught"))]
    rows += [("searched at the latency before, `l2`, 1 round", row("prune-searched"))]
    against = ("points against not pruned", "scaled", "searched")
    return table(runs, ("", "int8 mIoU", *against, "ms", "of its latency", "M parameters"), rows)


def distillation(runs: Sequence[Run], losses: Sequence[str]) -> str:
    def row(name: str) -> list[tuple[Figure, str]]:
        return [(int8_miou(name), MIOU), (points(int8_miou(name), int8_miou("small")), POINTS)]

    rows = [("none", row("small")), ("`kl`, taught by itself, trained before", row("small-self"))]
    rows += [(f"`{loss}`", row(taught_by(loss))) for loss in losses]
    rows += [("(the teacher itself)", row("large"))]
    return table(runs, ("loss", "int8 mIoU", "points gained"), rows)


def quantization(runs: Sequence[Run], estimators: Sequence[str]) -> str:
    source = "cut-self"

    def cells(name: str, ranges: str) -> list[tuple[Figure, str]]:
        found = int8_miou(name, ranges)
        return [(found, MIOU), (points(found, float_miou(source)), POINTS)]

    rows = [("the float file", [(float_miou(source), MIOU), (points(float_miou(source), float_miou(source)), POINTS)])]
    rows += [(f"`{name}`", cells(source, name)) for name in estimators]
    rows += [(f"`{name}`, then trained in int8", cells(f"int8-{name}", LEARNED)) for name in estimators]
    found = table(runs, ("ranges", "mIoU", "points against float"), rows)
    ratios = [("size", smaller(source)), ("speed", faster(source))]
    return found + "\n\n" + table(runs, ("int8 against float, same core", ""), [(n, [(f, RATIO)]) for n, f in ratios])


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


def orders(runs: Sequence[Run]) -> str:
    rows = [
        (title, [(int8_miou(name), MIOU), (points(int8_miou(name), int8_miou("prune-l2-1")), POINTS),
                 (latency(name), MS)])
        for title, name in ORDERS
    ]  # fmt: skip
    return table(runs, ("order", "int8 mIoU", "points against train, prune", "ms"), rows)


def chain(runs: Sequence[Run]) -> str:
    named = (
        ("DeepLabV3+ MobileNetV2, trained as long", "mobilenetv2"),
        ("train, prune, distill", "cut-self"),
        ("train, prune, distill (large)", "cut-large"),
        ("train, prune, distill, int8", "cut-shorter-int8"),
    )
    rows = [
        (title, [(int8_miou(name), MIOU), (points(int8_miou(name), int8_miou("mobilenetv2")), POINTS),
                 (latency(name), MS), (params(name), MILLIONS)])
        for title, name in named
    ]  # fmt: skip
    return table(runs, ("", "int8 mIoU", "points", "ms", "M parameters"), rows)


def hand_over(runs: Sequence[Run]) -> str:
    named = (
        ("1.0 (not pruned), scaled", "small", "small"),
        ("1.25, scaled", "prune-middle", "small"),
        ("1.67, scaled", "prune-l2-1", "small"),
        ("1.0 (not pruned), searched", "searched", "searched"),
        ("1.67, searched", "prune-searched", "searched"),
    )
    rows = [
        (title, [(int8_miou(name), MIOU), (points(int8_miou(name), int8_miou(one)), POINTS), (latency(name), MS)])
        for title, name, one in named
    ]
    return table(runs, ("latency handed over / target", "int8 mIoU", "points against 1.0", "ms"), rows)


def tables(runs: Sequence[Run], importances: Sequence[str], rounds: Sequence[int], losses: Sequence[str],
           estimators: Sequence[str]) -> str:  # fmt: skip
    parts = {
        "Pruning": pruning(runs, importances, rounds),
        "Distillation": distillation(runs, losses),
        f"int8 (default ranges: {DEFAULT})": quantization(runs, estimators),
        "Order of stages": orders(runs),
        "The whole chain": chain(runs),
        "How much larger a network the search should hand over": hand_over(runs),
    }
    return "\n".join(f"## {title}\n\n{text}\n" for title, text in parts.items())
