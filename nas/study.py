"""The Optuna study: refuses what the table says is too slow, scores the rest, writes every candidate down."""

import contextlib
import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import PartialFixedSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from tqdm import tqdm

from compress.files.atomic import write_atomically
from compress.stages.config import SETTING_DEFAULTS, RunConfig
from nas.feasible import Survey, feasible
from nas.heartbeat import Worker
from nas.problem import Problem
from nas.pruners import PRUNERS, RUNGS
from nas.samplers import SAMPLERS
from nas.score import reward
from search_spaces.backbone import RESOLUTION_SCALE, RESOLUTION_SCALES
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype

GENOTYPE, MIOU, REFUSED = "genotype", "miou", "refused"
COSTS = ("latency_ms", "size_bytes", "arena_bytes")  # user attributes `predicted_...`
STARTED_FEASIBLE = 0.4  # share of the candidates that are feasible random draws, before the sampler takes over
MOST_STARTED = 200  # such draws, however many candidates are asked for
MOST_REFUSALS = 10  # in a row, until a feasible random draw takes the sampler's turn
ASKS_PER_TRIAL = 25  # a refused candidate costs milliseconds, but a study must end
POLL_SECONDS = 0.5  # a worker's look at the study while the last candidates are with others
LISTING_SHARE = 0.05  # of the time may go into writing search.jsonl

Score = Callable[[Genotype, Trial], float]


def open_study(
    name: str, storage: BaseStorage, config: RunConfig, survey: Survey, described: Mapping[str, Any]
) -> optuna.Study:
    """A new study starts from feasible random draws; an existing one goes on. Raises InputError when the storage
    holds a study of this name that was otherwise `described`."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # TPE's group, GP
    directions = [StudyDirection.MAXIMIZE, *(StudyDirection.MINIMIZE for _ in config.costs)]
    study = optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
    spelled, known = json.dumps(described, sort_keys=True), study.user_attrs.get("asked")
    if known is None:
        # a process that was killed here has queued some already
        queued = [t.system_attrs.get("fixed_params") for t in study.get_trials(deepcopy=False)]
        for params in spread(survey, min(MOST_STARTED, round(config.trials * STARTED_FEASIBLE))):
            if params not in queued:
                study.enqueue_trial(params)
                queued.append(params)
        study.set_user_attr("asked", spelled)
    # older versions wrote fewer settings
    elif {**SETTING_DEFAULTS, **json.loads(known)} != {**SETTING_DEFAULTS, **json.loads(spelled)}:
        raise InputError(f"--storage holds a study {name} with other settings ({known}); choose another --run")
    return study


def spread(survey: Survey, count: int) -> list[dict[str, bool | int | float | str]]:
    """Parameters of feasible draws, half of them near the budget, where the best networks mostly are."""
    feasible = [d for d in survey.feasible if d.params]
    near = feasible[-max(1, len(feasible) // 4) :]
    half = count // 2
    chosen = near[:: max(1, len(near) // max(1, half))][:half]
    chosen += feasible[:: max(1, len(feasible) // max(1, count - half))][: count - half]
    return [d.params for d in chosen]


def finished(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Candidates that were scored or whose training was stopped early, not those refused."""
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    return [t for t in trials if t.state in ended and REFUSED not in t.user_attrs]


@dataclass
class Searching:
    """One worker's part in the search of a problem."""

    worker: Worker
    problem: Problem
    config: RunConfig
    seed: int
    score: Score
    listing: Path | None = None  # the worker that started the search writes search.jsonl
    left: list[Trial] = field(default_factory=list)  # candidates to go on with first
    _listed: float = field(default=0.0)

    @property
    def study(self) -> optuna.Study:
        return self.worker.study

    def run(self, still_wanted: Callable[[], bool] = lambda: True) -> None:
        """Until the study has the candidates asked for, those of other workers included, or the asks run out."""
        self.study.pruner = PRUNERS[self.config.pruner](RUNGS)
        goal = self.config.trials
        bar = tqdm(total=goal, desc="search", unit="net", dynamic_ncols=True, disable=self.listing is None)
        while still_wanted():
            self.worker.retry_lost()
            trials = self.study.get_trials(deepcopy=False)
            done = len(finished(trials))
            bar.update(min(done, goal) - bar.n)
            if done >= goal:
                break
            if self.left:
                self.evaluate(self.left.pop(0))
            elif done + sum(t.state is TrialState.RUNNING and GENOTYPE in t.user_attrs for t in trials) >= goal:
                time.sleep(POLL_SECONDS)  # the last ones are being scored; one may come back if its worker dies
            elif len(trials) >= goal * ASKS_PER_TRIAL:
                break
            else:
                self.evaluate(self.ask(trials))
            if self.listing and time.monotonic() > self._listed:
                begun = time.monotonic()
                write_listing(self.study, self.listing, self.problem.limits.budget_ms)
                self._listed = time.monotonic() + (time.monotonic() - begun) / LISTING_SHARE
        if self.listing:
            write_listing(self.study, self.listing, self.problem.limits.budget_ms)
        bar.close()

    def ask(self, trials: Sequence[FrozenTrial]) -> Trial:
        """A sampler is seeded by the number of candidates before it, so a resumed study asks what an uninterrupted
        one would have asked."""
        before = sum(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in trials)
        seed = (self.seed * 100_003 + before + self.worker.index * 1_000_003) % 2**32  # as many as NumPy takes
        if all(REFUSED in t.user_attrs for t in trials[-MOST_REFUSALS:]):
            drawn = feasible(self.problem, seed)  # not every sampler learns from what was refused
            if drawn:
                self.study.enqueue_trial(drawn.params)
        sampler = SAMPLERS[self.config.sampler](seed, min(MOST_STARTED, max(4, self.config.trials // 3)))
        if self.config.shares_weights:
            turn = RESOLUTION_SCALES[before % len(RESOLUTION_SCALES)]
            sampler = PartialFixedSampler({RESOLUTION_SCALE: turn}, sampler)
        self.study.sampler = sampler
        return self.worker.take(self.study.ask())

    def evaluate(self, trial: Trial) -> None:
        """Refuses a candidate, or scores it and tells the study. One that another worker has ended meanwhile is left as
        it is: a storage may hand out a queued candidate twice, and a worker out of reach is given up as lost."""
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            self._evaluate(trial)

    def _evaluate(self, trial: Trial) -> None:
        genotype = self.problem.genotype(trial)
        costs = self.problem.costs(genotype)
        within = self.problem.limits.hold(costs)
        if GENOTYPE not in trial.user_attrs:  # a candidate tried again has them
            for name, over in self.problem.limits.excess(costs).items():
                trial.set_constraint(f"over {name}", over)
            for name in COSTS:
                trial.set_user_attr(f"predicted_{name}", getattr(costs, name))
            if not within:
                trial.set_user_attr(REFUSED, True)
            trial.set_user_attr(GENOTYPE, json.dumps(genotype.to_dict()))
        if not within or self.is_surplus(trial):
            self.tell(trial, state=TrialState.PRUNED if not within else TrialState.FAIL)
            return
        try:
            miou = scored_before(self.study, genotype)
            if miou is None:
                miou = self.score(genotype, trial)
        except optuna.TrialPruned:
            self.tell(trial, state=TrialState.PRUNED)
            return
        trial.set_user_attr(MIOU, miou)
        value = reward(miou, costs.latency_ms, self.problem.limits.budget_ms)
        self.tell(trial, [miou, *(getattr(costs, c) for c in self.config.costs)] if self.config.costs else value)

    def tell(self, trial: Trial, values: Any = None, state: TrialState | None = None) -> None:
        self.study.tell(trial, values, state=state, skip_if_finished=True)

    def is_surplus(self, trial: Trial) -> bool:
        """Whether candidates asked for before this one are already as many as wanted: several workers may ask for
        the last one at once. Waits where that hangs on one whose worker has not written its genotype down yet."""
        while True:
            earlier = [
                t
                for t in self.study.get_trials(deepcopy=False)
                if t.number < trial.number and REFUSED not in t.user_attrs and t.state is not TrialState.FAIL
            ]
            known = sum(GENOTYPE in t.user_attrs for t in earlier)
            if known >= self.config.trials:
                return True
            if len(earlier) < self.config.trials:
                return False
            time.sleep(POLL_SECONDS)
            self.worker.retry_lost()


def scored_before(study: optuna.Study, genotype: Genotype) -> float | None:
    """The mIoU of the same genotype, if some candidate had it."""
    spelled = json.dumps(genotype.to_dict())
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if trial.user_attrs.get(GENOTYPE) == spelled:
            return float(trial.user_attrs[MIOU])
    return None


@dataclass(frozen=True)
class Candidate:
    """A scored network: predicted ms on the target, mIoU (0..1)."""

    genotype: Genotype
    latency_ms: float
    miou: float


def candidates(study: optuna.Study) -> list[Candidate]:
    """Scored genotypes, best first, each once; of a study with several objectives those on its Pareto front."""
    several = len(study.directions) > 1
    trials = study.best_trials if several else study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    found = {
        t.user_attrs[GENOTYPE]: (float(t.user_attrs["predicted_latency_ms"]), float(t.user_attrs[MIOU])) for t in trials
    }
    best_first = sorted(found.items(), key=lambda item: -item[1][1])
    return [Candidate(Genotype.from_dict(json.loads(spelled)), *figures) for spelled, figures in best_first]


def write_listing(study: optuna.Study, path: Path, budget_ms: float) -> None:
    """search.jsonl: one line per candidate, refused ones too; without those a dying worker gave back."""
    lines = []
    for trial in study.get_trials(deepcopy=False):
        if GENOTYPE not in trial.user_attrs or trial.state is TrialState.FAIL:
            continue
        miou = trial.user_attrs.get(MIOU)
        costs = {f"predicted_{name}": trial.user_attrs[f"predicted_{name}"] for name in COSTS}
        line = {
            "number": trial.number,
            "state": "refused" if REFUSED in trial.user_attrs else trial.state.name.lower(),
            **costs,
            "miou": miou,
            "score": None if miou is None else reward(miou, costs["predicted_latency_ms"], budget_ms),
            "genotype": json.loads(trial.user_attrs[GENOTYPE]),
        }
        lines.append(json.dumps(line))
    write_atomically(path, "".join(line + "\n" for line in lines).encode())


def scored_candidates(listing: Path) -> list[dict[str, Any]]:
    """Of search.jsonl the lines of candidates that have a score, in the order in which they were asked for."""
    lines = [json.loads(line) for line in listing.read_text().splitlines()]
    return [line for line in lines if line["state"] == "complete"]


def refused(study: optuna.Study) -> int:
    """How many candidates the table refused."""
    return sum(REFUSED in t.user_attrs for t in study.get_trials(deepcopy=False, states=(TrialState.PRUNED,)))
