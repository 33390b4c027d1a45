"""From a search's winner to what the user takes away: the stages, result.json, the report."""

from collections.abc import Callable
from typing import Any

from compress.stages.distill import distill
from compress.stages.export import export
from compress.stages.prune import prune
from compress.stages.quantize import quantize
from compress.stages.records import is_done, require
from compress.stages.run import FEDERATE, STAGES, Run
from compress.stages.shipped_figures import mean_over
from compress.stages.train import train
from nas.pages.report_page import write_report
from nas.result import write_result
from search_spaces.errors import BudgetError

STAGE_BODIES: dict[str, Callable[[Run], None]] = {
    "train": train,
    "prune": prune,
    "distill": distill,
    "quantize": quantize,
    "export": export,
}


def run_pipeline(run: Run) -> None:
    """Runs the stages that are not done yet, and writes the result and the report.

    Args:
        run: The run; its search is done.

    Raises:
        BudgetError: The exported file is slower than the budget.
        InputError: A stage cannot be run, or a file is damaged.
    """
    for stage in run.stages:
        if stage == FEDERATE:
            require(run, stage)  # it needs its clients, so it is not done anew here
        elif not is_done(run, stage):
            STAGE_BODIES[stage](run)
    result = write_result(run)
    write_report(run, result)
    print(summary(run, result))
    budget_ms = run.config.budget_ms
    if result["latency_ms"] > budget_ms:
        raise BudgetError(
            f"the exported model takes {result['latency_ms']:.3f} ms, over --budget-ms {budget_ms:g}; "
            f"cut more with python -m compress.prune {run.path} --target-ms {0.8 * budget_ms:g}, then --resume"
        )


def summary(run: Run, result: dict[str, Any]) -> str:
    """The lines that end a search.

    Args:
        run: The run.
        result: The content of result.json.

    Returns:
        The model with its figures, and where the card, the report and the figures lie.
    """
    size = result["stages"][-1]["size_bytes"] / 1024
    over = mean_over(run.metrics(STAGES[-1]).get("classes", {}))  # older versions did not record classes
    return (
        f"\n{result['model']}: mIoU {result['miou']:.4f}{over}, {result['latency_ms']:.2f} ms on {result['target']} "
        f"(budget {result['budget_ms']:g} ms), {size:.0f} KiB, int8\n"
        f"  latencies: {run.latency_source}\n"
        f"  card {run.path / 'model.json'}, report {run.path / 'report.html'}, figures {run.path / 'result.json'}"
    )
