"""The tables of the pages: rows of cells as text, made from what a run recorded."""

from collections.abc import Iterable, Mapping
from typing import Any

from compress.evaluation.accelerators import placement_rows, placements
from compress.evaluation.agreement import AGREEMENT_BOUNDS
from compress.evaluation.placement import ACCELERATORS, Placement
from compress.evaluation.tflite_file import read_runnable
from compress.files.atomic import digest
from compress.files.records import read_json
from compress.stages.run import FEDERATE, SEARCH, STAGES, Run, npu_of
from compress.stages.shipped_figures import mean_over
from compress.stages.shipped_files import FILES
from nas.halving import END
from search_spaces.errors import InputError

ROUNDS_HEAD = ("round", "clients and their losses", "refused", "mIoU", "KiB exchanged", "time, s")
CLIENTS_HEAD = ("client", "training images", "mIoU on its own validation images")
STAGES_HEAD = ("stage", "mIoU", "latency, ms", "predicted, ms", "parameters", "MACs", "size, KiB", "time, s")
FILES_HEAD = ("file", "size, KiB", "reads", "gives", "same class on")


def phone_figures(exported: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Lists what an app developer asks of model.tflite.

    Args:
        exported: What the stage `export` recorded. An older version recorded fewer figures.

    Returns:
        Name and value of each figure that was recorded.
    """
    forms = {
        "latency_ms": ("latency p50", 1, ".2f", "ms"),
        "latency_p90_ms": ("latency p90", 1, ".2f", "ms"),
        "cold_start_ms": ("cold start", 1, ".1f", "ms"),
        "energy_mj": ("energy of a run", 1, ".2f", "mJ above idle"),
        "size_bytes": ("file", 1024, ".0f", "KiB"),
        "arena_bytes": ("arena", 1024, ".0f", "KiB"),
    }
    return [
        (label, f"{exported[name] / divisor:{form}} {unit}")
        for name, (label, divisor, form, unit) in forms.items()
        if exported.get(name) is not None
    ]


def file_rows(exported: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Makes the table of exported files.

    Args:
        exported: What the stage `export` recorded.

    Returns:
        A row of cells for each file, as FILES_HEAD names them; none for a run of an older version.
    """
    sizes = exported.get("file_bytes", {})
    return [
        (
            name,
            f"{sizes[name] / 1024:.0f}",
            form["input"],
            form["output"],
            ", ".join(
                f"{exported[figure]:.2%} of {bound.of} as {bound.against}"
                for figure, bound in AGREEMENT_BOUNDS.items()
                if bound.file == name and figure in exported
            ),
        )
        for name, form in FILES.items()
        if name in sizes
    ]


def accelerator_rows(run: Run) -> list[tuple[str, ...]]:
    """Makes the table of accelerators.

    Args:
        run: A finished run.

    Returns:
        A row of cells for each accelerator: those of accelerators.json where it is of this model.tflite, else what is
        found out at once (XNNPACK, the run's NPU, published lists).

    Raises:
        InputError: When model.tflite or accelerators.json is damaged.
    """
    model, path = run.path / "model.tflite", run.path / ACCELERATORS
    content = read_runnable(model)
    if path.exists():
        remedy = f"run python -m compress.delegates {run.path} again"
        stored = read_json(path, remedy, dict)
        try:
            if stored["digest"] == digest(model):
                return placement_rows(content, [Placement(**one) for one in stored["accelerators"]])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: not a table of accelerators ({error}); {remedy}") from error
    npu = npu_of(run.config)
    return placement_rows(content, placements(model, [npu] if npu else [], gpu=False))


def finalist_rows(run: Run) -> list[tuple[str, ...]]:
    """Reads the table of finalists.

    Args:
        run: A finished run. One of an older version has no finalists.json.

    Returns:
        The head of the table, which depends on how often finalists were compared, and a row of cells for each; nothing
        without finalists.

    Raises:
        InputError: When finalists.json is damaged.
    """
    path, remedy = run.path / SEARCH / "finalists.json", "the table of finalists is left out"
    found = read_json(path, remedy, list) if path.exists() else []
    winner = run.genotype.id
    try:
        steps = max(map(trained_mious, found), key=len, default={})
        head = (
            "genotype", "mIoU, as a candidate", *map(after, steps), "MACs", "latency, ms", "predicted, ms",
        )  # fmt: skip
        rows = [
            (
                finalist_name(one, winner),
                f"{one['miou']:.4f}",
                *mious_after(steps, trained_mious(one)),
                f"{one['macs']:,}" if "macs" in one else "",
                f"{one['latency_ms']:.2f}",
                f"{one['predicted_latency_ms']:.2f}",
            )
            for one in found
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: not a list of finalists ({type(error).__name__}: {error}); {remedy}") from error
    return [head, *rows] if rows else []


def after(steps: str) -> str:
    """Names a comparison of finalists.

    Args:
        steps: The steps after which they were compared, as finalists.json has them.

    Returns:
        The head of a column.
    """
    return f"after {steps} steps" if steps.isdecimal() else {END: "at the end"}.get(steps, steps)


def mious_after(steps: Iterable[str], mious: Mapping[str, float]) -> list[str]:
    """Makes the cells of a finalist's training.

    Args:
        steps: The steps after which finalists were compared.
        mious: Its mIoU (0..1) by steps. One that was over the budget when measured has none.

    Returns:
        A cell for each comparison, empty where the finalist had no part in it.
    """
    if not mious:
        return ["" if place else "over the budget" for place, _ in enumerate(steps)]
    return [f"{mious[one]:.4f}" if one in mious else "" for one in steps]


def trained_mious(record: Mapping[str, Any]) -> dict[str, float]:
    """The mIoU of a finalist as its training went on.

    Args:
        record: The finalist's record in finalists.json. Older versions trained finalists twice: for some dozens of
            steps, called refinement, and to the end.

    Returns:
        mIoU (0..1) by steps.
    """
    if "mious" in record:
        return dict(record["mious"])
    older = {"refined": "refined_miou", END: "runoff_miou"}
    return {name: record[key] for name, key in older.items() if key in record}


def finalist_name(record: Mapping[str, Any], winner: str) -> str:
    """Names a finalist.

    Args:
        record: The finalist's record in finalists.json.
        winner: The id of the winner.

    Returns:
        Its id, the name of the known network where it is one, and whether it won.
    """
    name = str(record["id"])
    by_hand = f", by hand: {record['by_hand']}" if "by_hand" in record else ""
    known = f", {record['known']}" if "known" in record else ""
    return f"{name}{by_hand}{known}{', winner' if name == winner else ''}"


def stage_rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """Makes the table of stages.

    Args:
        result: What result.json holds.

    Returns:
        A row of cells for each stage, as STAGES_HEAD names them.
    """
    return [
        (
            str(stage["name"]),
            f"{stage['miou']:.4f}",
            f"{stage['latency_ms']:.2f}",
            f"{stage['predicted_latency_ms']:.2f}",
            f"{stage['params']:,}",
            f"{stage['macs']:,}",
            f"{stage['size_bytes'] / 1024:.0f}",
            f"{stage['wall_s']:.0f}",
        )
        for stage in result["stages"]
    ]


def federated_rows(run: Run) -> list[tuple[str, ...]]:
    """Makes the table of the rounds of a federated training.

    Args:
        run: A finished run.

    Returns:
        A row of cells for each round, as ROUNDS_HEAD names them; none for a run without such a training.
    """
    if FEDERATE not in run.stages:
        return []
    rounds = run.metrics(FEDERATE)["rounds"]
    return [
        (
            str(one["round"]),
            ", ".join(f"{client['name']} {client['loss']:.3f}" for client in one["clients"]),
            "; ".join(f"{name}: {fault}" for name, fault in one["refused"].items()) or "none",
            f"{one['miou']:.4f}" if "miou" in one else "",
            f"{(one['bytes_up'] + one['bytes_down']) / 1024:,.0f}",
            f"{one['seconds']:.0f}",
        )
        for one in rounds
    ]


def client_rows(run: Run) -> list[tuple[str, ...]]:
    """Makes the table of the clients of a federated training.

    Args:
        run: A finished run.

    Returns:
        A row of cells for each client, as CLIENTS_HEAD names them.
    """
    found = run.metrics(FEDERATE)["clients"] if FEDERATE in run.stages else []
    return [(one["name"], str(one["images"]), "" if one["miou"] is None else f"{one['miou']:.4f}") for one in found]


def remarks(run: Run) -> list[str]:
    """Says what a reader of the stages' table must know: stages that changed nothing, latencies not to be trusted.

    Args:
        run: A finished run.

    Returns:
        Sentences.
    """
    pruned, taught = (run.metrics(name) for name in ("prune", "distill"))
    busy = {name: run.metrics(name).get("busy") for name in run.stages}
    found = [f"The machine was busy while {name} was measured ({why})." for name, why in busy.items() if why]
    over = mean_over(run.metrics(STAGES[-1]).get("classes", {}))
    if over:
        found.append(f"mIoU of the exported file: {over.strip(' ()')}.")
    if not pruned["rounds"]:
        found.append(f"Nothing was pruned: {pruned['target_ms']:.2f} ms were allowed.")
    if taught["taught_miou"] is None:
        found.append("Nothing was distilled: the network had no teacher but itself.")
    if taught["undone"]:
        found.append(f"Distillation was undone: it led to mIoU {taught['taught_miou']:.4f}.")
    return found
