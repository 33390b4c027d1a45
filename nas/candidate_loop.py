"""The loop of a search: propose a candidate, drop it when it is infeasible, else score it and tell the study.

Every worker of a search runs this loop on the same study (`nas.worker`).
"""

import contextlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, PartialFixedSampler
from optuna.trial import FrozenTrial, Trial, TrialState
from tqdm import tqdm

from compress.stages.config import RunConfig
from nas.feasibility import is_infeasible, random_feasible_draw, record_costs
from nas.half_drawn import HalfDrawnTrial
from nas.heartbeat import Worker
from nas.listing import write_listing
from nas.problem import Problem
from nas.pruners import PRUNERS, RUNGS
from nas.samplers import SAMPLERS
from nas.score import reward
from nas.study import GENOTYPE, MAX_INITIAL_DRAWS, MIOU, Score, finished, known_miou
from search_spaces.backbone import RESOLUTION_SCALE, RESOLUTION_SCALES
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype

MAX_INFEASIBLE_IN_A_ROW = 10  # then a feasible random draw takes the sampler's turn
MAX_HOPELESS = 50  # infeasible candidates in a row, feasible draws not found either: the search ends
MAX_ASKS_PER_CANDIDATE = 25  # an infeasible candidate costs milliseconds, but a study must end
STUDY_POLL_SECONDS = 0.5  # between two looks at the study, while the last candidates are with other workers
LISTING_SHARE = 0.05  # of the time may go into writing search.jsonl


@dataclass
class CandidateLoop:
    """One worker's part in a search.

    Attributes:
        worker: This process's part in the study.
        problem: What is searched.
        config: The settings of the search.
        seed: The seed of the run.
        score: Gives the mIoU (0..1) of a candidate.
        listing: RUN/search.jsonl, in the worker that started the search; None in the others.
        left: Candidates that a killed process left unfinished. They come first.
    """

    worker: Worker
    problem: Problem
    config: RunConfig
    seed: int
    score: Score
    listing: Path | None = None
    left: list[FrozenTrial] = field(default_factory=list)
    _next_listing: float = field(default=0.0)

    @property
    def study(self) -> optuna.Study:
        """The study of the search."""
        return self.worker.study

    def run(self, is_needed: Callable[[], bool] = lambda: True) -> None:
        """Works until the study has the candidates asked for, those of other workers included.

        The loop also ends when nothing feasible is found any more.

        Args:
            is_needed: Asked before every candidate; the loop ends when it says no.

        Raises:
            InputError: A candidate has no finite score.
        """
        self.study.pruner = PRUNERS[self.config.pruner](RUNGS)
        goal = self.config.trials
        bar = tqdm(total=goal, desc="search", unit="net", dynamic_ncols=True, disable=self.listing is None)
        while is_needed():
            self.worker.retry_lost()
            trials = self.study.get_trials(deepcopy=False)
            done = len(finished(trials))
            bar.update(min(done, goal) - bar.n)
            if done >= goal:
                break
            if self.left:
                self.resume(self.left.pop(0), trials)
            elif done + sum(t.state is TrialState.RUNNING and GENOTYPE in t.user_attrs for t in trials) >= goal:
                time.sleep(STUDY_POLL_SECONDS)  # one of the last may come back if its worker dies
            elif len(trials) >= goal * MAX_ASKS_PER_CANDIDATE or infeasible_in_a_row(trials) >= MAX_HOPELESS:
                break
            else:
                self.evaluate(self.propose(trials))
            if time.monotonic() > self._next_listing:
                self.write_listing()
        self.write_listing()
        bar.close()

    def write_listing(self) -> None:
        """Writes search.jsonl, in the worker that does so."""
        if self.listing is not None:
            begun = time.monotonic()
            write_listing(self.study, self.listing, self.problem.constraints.budget_ms)
            self._next_listing = time.monotonic() + (time.monotonic() - begun) / LISTING_SHARE

    def sampler(self, trials: Sequence[FrozenTrial]) -> BaseSampler:
        """Makes the sampler of the next candidate.

        It is seeded by the number of candidates before it, so a resumed study proposes what an uninterrupted one would
        have proposed. With shared weights, resolutions take turns.

        Args:
            trials: The trials of the study.

        Returns:
            The sampler.
        """
        seed = self.seed_of(trials)
        sampler = SAMPLERS[self.config.sampler](seed, min(MAX_INITIAL_DRAWS, max(4, self.config.trials // 3)))
        if self.config.shares_weights:
            turn = RESOLUTION_SCALES[ended(trials) % len(RESOLUTION_SCALES)]
            sampler = PartialFixedSampler({RESOLUTION_SCALE: turn}, sampler)
        return sampler

    def seed_of(self, trials: Sequence[FrozenTrial]) -> int:
        """The seed of the next candidate.

        Args:
            trials: The trials of the study.

        Returns:
            A seed that NumPy accepts; two workers have different ones.
        """
        return (self.seed * 100_003 + ended(trials) + self.worker.index * 1_000_003) % 2**32

    def propose(self, trials: Sequence[FrozenTrial]) -> Trial:
        """Asks the study for a new candidate.

        Args:
            trials: The trials of the study.

        Returns:
            The candidate's trial; no parameter is drawn yet.
        """
        in_a_row = infeasible_in_a_row(trials)
        if in_a_row % MAX_INFEASIBLE_IN_A_ROW == 0 and (in_a_row or not trials):
            drawn = random_feasible_draw(
                self.problem, self.seed_of(trials)
            )  # not every sampler learns from constraints
            if drawn:
                self.study.enqueue_trial(drawn.params)
        self.study.sampler = self.sampler(trials)
        return self.worker.take(self.study.ask())

    def resume(self, stored: FrozenTrial, trials: Sequence[FrozenTrial]) -> None:
        """Goes on with a candidate that a killed process left.

        The sampler is set first: where parameters are still to be drawn, they are those of an uninterrupted search.

        Args:
            stored: The candidate as the study has it.
            trials: The trials of the study.
        """
        self.study.sampler = self.sampler(trials)
        half_drawn = HalfDrawnTrial(self.study, stored)
        self.evaluate(half_drawn.trial, half_drawn)

    def evaluate(self, trial: Trial, drawing: Any = None) -> None:
        """Drops an infeasible candidate, or scores a feasible one, and tells the study.

        A candidate that another worker has ended meanwhile is left as it is: a storage may hand out an enqueued
        candidate twice, and a worker out of reach is given up as lost.

        Args:
            trial: The candidate's trial.
            drawing: What draws its parameters, if not the trial itself.

        Raises:
            InputError: The candidate has no finite score.
        """
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            self._evaluate(trial, self.problem.genotype(drawing or trial))

    def _evaluate(self, trial: Trial, genotype: Genotype) -> None:
        costs = self.problem.costs(genotype)
        feasible = self.problem.constraints.are_met_by(costs)
        if GENOTYPE not in trial.user_attrs:  # a candidate tried again has them
            record_costs(trial, costs, self.problem.constraints)
            trial.set_user_attr(GENOTYPE, json.dumps(genotype.to_dict()))
        if not feasible or self.is_surplus(trial):
            self.finish(trial, state=TrialState.FAIL if feasible else TrialState.PRUNED)
            return
        try:
            miou = known_miou(self.study, genotype)
            if miou is None:
                miou = self.score(genotype, trial)
        except optuna.TrialPruned:
            self.finish(trial, state=TrialState.PRUNED)
            return
        if not math.isfinite(miou):
            raise InputError(
                f"candidate {trial.number} ({genotype.id}) scores mIoU {miou}: the validation split has no labelled "
                "pixel, or its weights are not finite; check the data with python -m compress.check, the weights with "
                "another --seed"
            )
        trial.set_user_attr(MIOU, miou)
        value = reward(miou, costs.latency_ms, self.problem.constraints.budget_ms)
        several = [miou, *(getattr(costs, name) for name in self.config.costs)]
        self.finish(trial, several if self.config.costs else value)

    def finish(self, trial: Trial, values: Any = None, state: TrialState | None = None) -> None:
        """Tells the study how a candidate ended; one that has ended already stays as it is.

        Args:
            trial: The candidate's trial.
            values: Its reward, or a value for each objective.
            state: How it ended, if it has no values.
        """
        self.study.tell(trial, values, state=state, skip_if_finished=True)

    def is_surplus(self, trial: Trial) -> bool:
        """Decides whether the candidates before this one are as many as wanted.

        Several workers may ask for the last candidate at once. Where the answer hangs on a candidate whose worker has
        not written its genotype down yet, this waits.

        Args:
            trial: The candidate's trial.

        Returns:
            Whether the candidate is one too many.
        """
        while True:
            trials = self.study.get_trials(deepcopy=False)
            before = [t for t in trials if t.number < trial.number and not is_infeasible(t)]
            earlier = [t for t in before if t.state is not TrialState.FAIL]
            if sum(GENOTYPE in t.user_attrs for t in earlier) >= self.config.trials:
                return True
            if len(earlier) < self.config.trials:
                return False
            time.sleep(STUDY_POLL_SECONDS)
            self.worker.retry_lost()


def ended(trials: Sequence[FrozenTrial]) -> int:
    """Counts the candidates that have ended.

    Args:
        trials: Trials of a study.

    Returns:
        How many are scored, pruned or infeasible.
    """
    return sum(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in trials)


def infeasible_in_a_row(trials: Sequence[FrozenTrial]) -> int:
    """Counts the infeasible candidates at the end of a study.

    Args:
        trials: Trials of a study.

    Returns:
        How many of the last candidates are infeasible, without a feasible one between them.
    """
    return next((n for n, trial in enumerate(reversed(trials)) if not is_infeasible(trial)), len(trials))
