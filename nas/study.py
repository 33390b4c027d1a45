"""The Optuna study: refuses what the table says is too slow, scores the rest, writes every candidate down."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import optuna
from optuna.trial import Trial, TrialState
from tqdm import tqdm

from compress.run import write_atomically
from nas.feasible import Survey
from nas.score import reward
from search_spaces import Space
from search_spaces.genotype import Genotype
from search_spaces.latency_table import LatencyTable

GENOTYPE, LATENCY, MIOU = "genotype", "predicted_latency_ms", "miou"
STARTED_FEASIBLE = 0.4  # share of the candidates that are feasible random draws, before the sampler takes over
ASKS_PER_TRIAL = 25  # a refused candidate costs milliseconds, but a study must end


def open_study(path: Path, trials: int, survey: Survey) -> optuna.Study:
    """A new study starts from feasible random draws; an existing one goes on."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # TPE's group
    study = optuna.create_study(
        storage=f"sqlite:///{path}", study_name="search", direction="maximize", load_if_exists=True
    )
    if "started" not in study.user_attrs:
        for params in spread(survey, round(trials * STARTED_FEASIBLE)):
            study.enqueue_trial(params, skip_if_exists=True)
        study.set_user_attr("started", True)
    return study


def next_trial(study: optuna.Study, seed: int, startup: int) -> Trial:
    """The candidate a killed run left unfinished, else a new one. The sampler is seeded by the candidate's number,
    so a resumed study asks what an uninterrupted one would have asked."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    number = running[0].number if running else sum(t.state.is_finished() for t in study.get_trials(deepcopy=False))
    study.sampler = optuna.samplers.TPESampler(
        seed=seed * 100_003 + number, multivariate=True, group=True, n_startup_trials=startup
    )
    return Trial(study, running[0]._trial_id) if running else study.ask()


def spread(survey: Survey, count: int) -> list[dict[str, bool | int | float | str]]:
    """Parameters of feasible draws, half of them near the budget, where the best networks mostly are."""
    feasible = [d for d in survey.feasible if d.params]
    near = feasible[-max(1, len(feasible) // 4) :]
    half = count // 2
    chosen = near[:: max(1, len(near) // max(1, half))][:half]
    chosen += feasible[:: max(1, len(feasible) // max(1, count - half))][: count - half]
    return [d.params for d in chosen]


def run_study(
    study: optuna.Study,
    space: Space,
    table: LatencyTable,
    budget_ms: float,
    classes: int,
    input_size: tuple[int, int],
    trials: int,
    seed: int,
    score: Callable[[Genotype], float],
    listing: Path,
) -> None:
    """Until `trials` candidates are scored, or the asks run out."""

    def count(state: TrialState) -> int:
        return len(study.get_trials(deepcopy=False, states=(state,)))

    bar = tqdm(
        total=trials, initial=min(trials, count(TrialState.COMPLETE)), desc="search", unit="net", dynamic_ncols=True
    )
    for _ in range(trials * ASKS_PER_TRIAL):
        if count(TrialState.COMPLETE) >= trials:
            break
        trial = next_trial(study, seed, startup=max(4, trials // 3))
        genotype = space.sample(trial, classes, input_size)
        latency_ms = table.predict(space.graph(genotype))
        if LATENCY not in trial.user_attrs:  # a resumed candidate has them
            trial.set_user_attr(GENOTYPE, json.dumps(genotype.to_dict()))
            trial.set_constraint("over_budget_ms", latency_ms - budget_ms)
            trial.set_user_attr(LATENCY, latency_ms)
        if latency_ms > budget_ms:
            study.tell(trial, state=TrialState.PRUNED)
            continue
        miou = scored_before(study, genotype) or score(genotype)
        trial.set_user_attr(MIOU, miou)
        study.tell(trial, reward(miou, latency_ms, budget_ms))
        bar.set_postfix(best=f"{study.best_value:.3f}", refresh=False)
        bar.update()
        write_listing(study, listing)
    write_listing(study, listing)
    bar.close()


def scored_before(study: optuna.Study, genotype: Genotype) -> float | None:
    """The mIoU of the same genotype, if some trial had it."""
    spelled = json.dumps(genotype.to_dict())
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if trial.user_attrs.get(GENOTYPE) == spelled:
            return float(trial.user_attrs[MIOU])
    return None


def candidates(study: optuna.Study) -> list[tuple[Genotype, float, float]]:
    """Scored genotypes with predicted ms and reward, best first, each once."""
    found = {
        trial.user_attrs[GENOTYPE]: (float(trial.user_attrs[LATENCY]), float(trial.value or 0.0))
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    }
    best_first = sorted(found.items(), key=lambda item: -item[1][1])
    return [(Genotype.from_dict(json.loads(spelled)), *figures) for spelled, figures in best_first]


def write_listing(study: optuna.Study, path: Path) -> None:
    """search.jsonl: one line per candidate, refused ones too."""
    lines = []
    for trial in study.get_trials(deepcopy=False):
        if GENOTYPE not in trial.user_attrs:
            continue
        refused = trial.state is TrialState.PRUNED
        line = {
            "number": trial.number,
            "state": "refused" if refused else trial.state.name.lower(),
            "predicted_latency_ms": trial.user_attrs[LATENCY],
            "miou": trial.user_attrs.get(MIOU),
            "score": None if refused else trial.value,
            "genotype": json.loads(trial.user_attrs[GENOTYPE]),
        }
        lines.append(json.dumps(line))
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def refused(study: optuna.Study) -> int:
    """How many candidates the table refused."""
    return len(study.get_trials(deepcopy=False, states=(TrialState.PRUNED,)))
