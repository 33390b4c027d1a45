"""Latency of all files in one sitting, the table, and the plot of mIoU against latency."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from shipping import SHIPPED, TRAINED, Variant, int8_file

from compress.files.atomic import digest
from compress.files.records import read_json, read_record, write_json
from compress.latency.repeats import MeasurementPlan, combine, measure_repeatedly
from compress.latency.targets import HostTarget
from compress.stages.config import RunConfig
from compress.stages.flag_values import parse_input_size
from compress.tflite.ranges import DEFAULT_ESTIMATOR
from search_spaces.errors import InputError

PLAN = MeasurementPlan("latency", seconds=1.0, group_size=8, tolerance=0.04)
LATENCY = "latency.json"
SLIMLAB = "SlimLab"

Measured = tuple[float, tuple[float, ...]]  # ms, the mIoU of each seed


@dataclass(frozen=True)
class Searched:
    """A network that `nas.search` found, as the int8 file `model`."""

    model: Path
    budget_ms: float
    miou: float


@dataclass(frozen=True)
class Point:
    """The same network of several seeds; `ms` is None before it is measured."""

    name: str
    family: str
    stride: int
    mious: tuple[float, ...]
    float_mious: tuple[float, ...]
    ms: float | None
    params: int
    macs: int
    size_bytes: int
    note: str

    @property
    def miou(self) -> float:
        return mean(self.mious)


def read_searched(paths: Iterable[Path], wanted: RunConfig) -> list[Searched]:
    """Raises InputError for a run that is not finished, or is of other data or another input size."""
    found = []
    for path in paths:
        result = read_record(path / "result.json", "finish it with python -m nas.search --resume")
        config = RunConfig.from_dict(read_json(path / "config.json", "start the run anew"), str(path / "config.json"))
        for what, here, there in (
            ("--data", wanted.data, config.data),
            ("--input-size", wanted.input_size, config.input_size),
        ):
            if here != there:
                raise InputError(f"--runs {path}: was made with {what} {there}, the peers with {here}")
        found.append(Searched(path / "model.tflite", float(result["budget_ms"]), float(result["miou"])))
    return found


def read_benefit(work: Path, config: RunConfig, steps: int) -> list[Searched]:
    """The searched networks of `benchmarks/benefit.py`, from scratch as the peers are. Raises InputError when they were
    trained on other data or for another number of steps."""
    asked = read_json(work / "asked.json", "give the --work of benchmarks/benefit.py")
    size = parse_input_size(asked["input_size"])
    if (asked["data"], size, asked["steps"]) != (config.data, config.input_size, steps):
        raise InputError(f"--benefit {work}: was made with {asked}; the peers with other data, size or steps")
    found = []
    for shipped in sorted(work.glob(f"seed-*/searched-*/{SHIPPED}")):
        budget, miou = (
            shipped.parent.name.rpartition("-")[2],
            read_json(shipped, "delete it")["int8"][DEFAULT_ESTIMATOR]["miou"],
        )
        found.append(Searched(shipped.with_name(f"{DEFAULT_ESTIMATOR}.tflite"), float(budget), float(miou)))
    return found


def measure(variants: Sequence[Variant], searched: Sequence[Searched], work: Path) -> None:
    """Times a file of each peer, whatever the seed, and every SlimLab model, in turns on one core. Measurements
    are kept: a killed run with the same files goes on."""
    files: dict[str, Path] = {str(network.model): network.model for network in searched}
    for variant in variants:
        for stride in shipped_files(variant):
            files.setdefault(key_of(variant, stride), int8_file(variant, int(stride)))
    target = HostTarget()
    facts = target.facts()
    made_for = {"digests": {key: digest(path) for key, path in files.items()}, "facts": facts}
    found = measure_repeatedly(
        target, {key: path.read_bytes for key, path in files.items()}, PLAN, work / "measurements.json", made_for
    )
    one_ms = target.fastest_reference_ms()
    ms = {key: combine(made).relative_time * one_ms for key, made in found.items()}
    write_json(work / LATENCY, {"facts": facts, "ms": ms})


def shipped_files(variant: Variant) -> dict[str, Any]:
    """What was found of each file that could be made, by the stride of its class map."""
    shipped = variant.figures(SHIPPED) or {"files": {}}
    return {stride: file for stride, file in shipped["files"].items() if "failed" not in file}


def key_of(variant: Variant, stride: str) -> str:
    return f"{variant.title}/{stride}"


def latencies(work: Path) -> dict[str, float]:
    path = work / LATENCY
    found: dict[str, float] = read_json(path, "delete it and measure again")["ms"] if path.is_file() else {}
    return found


def peer_points(variants: Sequence[Variant], ms: Mapping[str, float]) -> list[Point]:
    by_key: dict[tuple[str, str], list[Variant]] = {}
    for variant in variants:
        for stride in shipped_files(variant):
            by_key.setdefault((variant.title, stride), []).append(variant)
    return [point(made, stride, ms) for (_, stride), made in by_key.items()]


def point(variants: Sequence[Variant], stride: str, ms: Mapping[str, float]) -> Point:
    files = [shipped_files(variant)[stride] for variant in variants]
    first = variants[0]
    trained, shipped = first.figures(TRAINED) or {}, first.figures(SHIPPED) or {}
    return Point(
        first.title,
        first.peer.family,
        int(stride),
        tuple(file["miou"] for file in files),
        tuple(file["float_miou"] for file in files),
        ms.get(key_of(first, stride)),
        trained["params"],
        shipped["macs"],
        files[0]["size_bytes"],
        note_of(files[0]),
    )


def note_of(file: Mapping[str, Any]) -> str:
    """What keeps a file from running in int8 by XNNPACK as a whole."""
    notes = [f"{count} {name} in float" for name, count in file["float_ops"].items()]
    if file["parts"] > 1:
        notes.append(f"XNNPACK runs it in {file['parts']} parts")
    return "; ".join(notes)


def slimlab_points(searched: Sequence[Searched], ms: Mapping[str, float]) -> list[Measured]:
    """(ms, mIoU of each seed) for each budget, as measured with the peers, fastest first."""
    budgets: dict[float, list[Searched]] = {}
    for network in searched:
        if str(network.model) in ms:
            budgets.setdefault(network.budget_ms, []).append(network)
    return sorted(
        (mean(ms[str(one.model)] for one in alike), tuple(one.miou for one in alike)) for alike in budgets.values()
    )


def spread(values: Sequence[float]) -> str:
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def table(points: Sequence[Point], slimlab: Sequence[Measured], failed: Sequence[str]) -> str:
    sizes = ("M parameters", "GMACs", "KiB")
    heads = ("network", "class map", "int8 mIoU", "float mIoU", "ms", *sizes, f"{SLIMLAB} ahead by", "")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    lines += [f"| **{SLIMLAB}** | | {spread(mious)} | | {ms:.2f} | | | | | |" for ms, mious in slimlab]
    for p in sorted(points, key=lambda p: (p.family, p.ms or 0.0, p.name, p.stride)):
        ms = "-" if p.ms is None else f"{p.ms:.2f}"
        no_slower = [mean(mious) for at, mious in slimlab if p.ms is not None and at <= p.ms]
        ahead = f"{100 * (max(no_slower) - p.miou):+.2f}" if no_slower else "-"
        size = f"{p.params / 1e6:.2f} | {p.macs / 1e9:.2f} | {p.size_bytes / 1024:.0f}"
        mious = f"{spread(p.mious)} | {spread(p.float_mious)}"
        lines.append(f"| `{p.name}` | 1/{p.stride} | {mious} | {ms} | {size} | {ahead} | {p.note} |")
    return "\n".join([*lines, *([""] if failed else []), *failed])


def failures(variants: Sequence[Variant]) -> list[str]:
    """A line for each file that could not be made."""
    return [
        f"- `{variant.title}` of {variant.run.path.name}, class map 1/{stride}: {file['failed']}"
        for variant in variants
        for stride, file in (variant.figures(SHIPPED) or {"files": {}})["files"].items()
        if "failed" in file
    ]


def plot(points: Sequence[Point], slimlab: Sequence[Measured], path: Path) -> None:
    """A line joins those of a family that nothing faster of the family equals; bars span the seeds."""
    figure, axes = pyplot.subplots(figsize=(9, 6))
    families = dict.fromkeys(p.family for p in points)
    for family, marker in zip(families, "osD^vP*X<>" * len(families), strict=False):
        found = sorted((p.ms, p.mious) for p in points if p.family == family and p.ms is not None)
        if found:
            joined = best(found)
            (line, *_) = draw(axes, joined, label=family, marker=marker, markersize=5, linewidth=1)
            rest = [one for one in found if one not in joined]
            draw(axes, rest, marker=marker, markersize=3, linestyle="", color=line.get_color(), alpha=0.4)
    if slimlab:
        draw(axes, slimlab, label=SLIMLAB, marker="o", markersize=8, linewidth=2.5, color="black")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.set_xlabel("measured latency, ms, int8, one thread")
    axes.set_ylabel("mIoU of the int8 file on the validation split")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def best(found: Sequence[Measured]) -> list[Measured]:
    """Of points from fast to slow, those better than all before."""
    kept: list[Measured] = []
    for ms, mious in found:
        if not kept or mean(mious) > mean(kept[-1][1]):
            kept.append((ms, mious))
    return kept


def draw(axes: Any, found: Sequence[Measured], **style: Any) -> Any:
    means = [mean(mious) for _, mious in found]
    below = [m - min(mious) for m, (_, mious) in zip(means, found, strict=True)]
    above = [max(mious) - m for m, (_, mious) in zip(means, found, strict=True)]
    return axes.errorbar([ms for ms, _ in found], means, yerr=(below, above), capsize=2, **style)
