"""search.jsonl: one line for every candidate of a search."""

import json
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from compress.files.atomic import write_atomically
from compress.files.records import parse_json, read_content
from nas.constraints import COST_NAMES, TARGET_COST_NAMES
from nas.feasibility import is_infeasible
from nas.score import reward
from nas.study import GENOTYPE, MIOU
from search_spaces.errors import InputError


def write_listing(study: optuna.Study, path: Path, budget_ms: float) -> None:
    """Writes all candidates of a study, infeasible ones too.

    A candidate that a dying worker gave back is left out: it is listed as the candidate that was tried again.

    Args:
        study: The study.
        path: The file, RUN/search.jsonl. It is replaced as a whole.
        budget_ms: The latency budget, ms; the reward depends on it.
    """
    trials = study.get_trials(deepcopy=False)
    listed = [t for t in trials if GENOTYPE in t.user_attrs and t.state is not TrialState.FAIL]
    write_atomically(path, "".join(json.dumps(_line(trial, budget_ms)) + "\n" for trial in listed).encode())


def _line(trial: FrozenTrial, budget_ms: float) -> dict[str, Any]:
    miou = trial.user_attrs.get(MIOU)
    names = [name for name in TARGET_COST_NAMES if f"predicted_{name}" in trial.user_attrs]
    costs = {f"predicted_{name}": trial.user_attrs[f"predicted_{name}"] for name in (*COST_NAMES, *names)}
    return {
        "number": trial.number,
        "state": "refused" if is_infeasible(trial) else trial.state.name.lower(),
        **costs,
        "miou": miou,
        "score": None if miou is None else reward(miou, costs["predicted_latency_ms"], budget_ms),
        "genotype": json.loads(trial.user_attrs[GENOTYPE]),
    }


def read_scored_candidates(path: Path) -> list[dict[str, Any]]:
    """Reads the candidates that have a score.

    Args:
        path: The file, RUN/search.jsonl.

    Returns:
        Their lines in the order in which they were proposed.

    Raises:
        InputError: The file is missing or damaged.
    """
    remedy = "delete it; python -m nas.search --resume writes it again before the search ends, else start the run anew"
    found = []
    for number, text in enumerate(read_content(path, remedy).splitlines(), 1):
        name = f"{path}, line {number}"
        line = parse_json(text, name, remedy, dict)
        try:
            if line["state"] == "complete":
                found.append({**line, **{key: float(line[key]) for key in ("predicted_latency_ms", "miou")}})
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{name}: not a candidate ({type(error).__name__}); {remedy}") from error
    return found
