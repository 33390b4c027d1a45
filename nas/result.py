"""RUN/result.json: the figures of a finished run, put together from what the search and the stages recorded."""

import math
import sys
from typing import Any

from compress.files.records import read_json, write_record
from compress.stages.run import SEARCH, STAGES, Run
from search_spaces.errors import InputError

FIGURES = ("miou", "latency_ms", "predicted_latency_ms", "params", "macs", "size_bytes", "wall_s")
SEARCH_FIGURES = ("trials", "refused", "wall_s", "supernet_s")


def write_result(run: Run) -> dict[str, Any]:
    """Writes RUN/result.json.

    Args:
        run: A run whose stages are done.

    Returns:
        What was written.

    Raises:
        InputError: When a stage's metrics.json lacks a figure.
    """
    result = make_result(run)
    write_record(run.path / "result.json", result)
    return result


def make_result(run: Run) -> dict[str, Any]:
    """Puts the figures of a run together and writes nothing.

    Args:
        run: A run whose stages are done.

    Returns:
        The content of result.json.

    Raises:
        InputError: When a stage's metrics.json lacks a figure.
    """
    stages = [_stage_figures(run, name) for name in run.stages]
    final = stages[-1]
    return {
        "budget_ms": run.config.budget_ms,
        "target": run.config.target,
        "latency_source": run.latency_source,
        "data": run.config.data,
        "seed": run.config.seed,
        "genotype": run.metrics(STAGES[-1])["genotype"],
        "model": str(run.path / "model.tflite"),
        **{name: final[name] for name in FIGURES[:3]},
        **_energy_figures(run),
        "search": _search_figures(run),
        "stages": stages,
    }


def _energy_figures(run: Run) -> dict[str, float]:
    """The energy of the final file; nothing where the run measured none."""
    metrics = run.metrics(STAGES[-1])
    return {name: metrics[name] for name in ("energy_mj", "energy_spread", "idle_w") if is_number(metrics.get(name))}


def _stage_figures(run: Run, stage: str) -> dict[str, Any]:
    metrics = run.metrics(stage)
    for name in (*FIGURES, "genotype"):
        value = metrics.get(name)
        fits = isinstance(value, dict) if name == "genotype" else is_number(value)
        if not fits:
            raise InputError(
                f"{run.path / stage / 'metrics.json'}: {name} must not be {value!r}; "
                f"run python -m compress.{stage} {run.path} again"
            )
    return {"name": stage, **{name: metrics[name] for name in FIGURES}}


def is_number(value: object) -> bool:
    """Whether a value of a JSON file is a number to calculate with.

    Args:
        value: Any JSON value.

    Returns:
        True for a finite number.
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _search_figures(run: Run) -> dict[str, Any]:
    """How long the search was. A finished job does not fail for want of these figures: then they are null."""
    path = run.path / SEARCH / "search.json"
    try:
        figures: dict[str, Any] = read_json(path, "its figures are left out", dict)
        lacking = [name for name in SEARCH_FIGURES if not is_number(figures.get(name))]
        if lacking:
            print(f"{path} lacks {', '.join(lacking)} as numbers; these figures are left out", file=sys.stderr)
        return {**figures, **dict.fromkeys(lacking)}
    except InputError as error:
        print(error, file=sys.stderr)
    return dict.fromkeys(SEARCH_FIGURES)
