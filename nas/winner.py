"""From a prepared run to its winner: the study, the finalists, and the weights that the winner starts from."""

import sys
import time
from collections.abc import Callable

from compress.files.records import read_json, write_json
from compress.files.tensors import save_network
from compress.stages.run import SEARCH, Run
from compress.training.device import share_cores
from nas.by_hand import networks_by_hand
from nas.candidate_loop import CandidateLoop
from nas.compact import compact_networks
from nas.feasibility import Survey, infeasible_count
from nas.finalists import choose_winner
from nas.heartbeat import Worker
from nas.local_workers import local_workers
from nas.problem import Problem, problem_of
from nas.result import is_number
from nas.storages import open_storage, readable
from nas.strategy import Strategy, open_strategy
from nas.study import Candidate, best_candidates, finished, open_study
from nas.study_identity import identity_of, study_name
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype


def search(run: Run, survey: Survey, url: str, workers: int) -> None:
    """Writes RUN/genotype.json and the winner's weights. A part that is there already is not done again.

    Args:
        run: The run; its supernet is trained where it needs one.
        survey: Random draws that meet the constraints; the study starts from some of them.
        url: Where the study lives.
        workers: Processes of this machine that score candidates.
    """
    begun = time.monotonic()
    strategy = open_strategy(run, run.config.strategy, workers)
    figures, found = score_candidates(run, survey, strategy, url, workers)
    share_cores()
    scored = time.monotonic()
    known = known_candidates(problem_of(run), run.config.pruned_ms, strategy.score_known)
    winner, finalists = choose_winner(run, found, strategy.finals.train, run.config.shares_weights, known)
    write_winner(run, strategy, winner, found)
    now = time.monotonic()
    seconds = {"wall_s": now - begun, "finalists_s": now - scored, "supernet_s": supernet_seconds(run)}
    write_json(run.path / SEARCH / "finalists.json", finalists)
    write_json(run.path / SEARCH / "search.json", {**figures, **seconds})
    strategy.finals.finish()
    write_json(run.path / "genotype.json", winner.to_dict())


def score_candidates(
    run: Run, survey: Survey, strategy: Strategy, url: str, workers: int
) -> tuple[dict[str, int], list[Candidate]]:
    """Lets the study choose candidates until it has as many as were asked for.

    Args:
        run: The run.
        survey: Random draws that meet the constraints.
        strategy: What scores a candidate.
        url: Where the study lives.
        workers: Processes of this machine that score candidates.

    Returns:
        How many were scored and how many were refused, and the best ones.
    """
    storage = open_storage(url)
    identity = identity_of(run, run.config.flat(), strategy.weights_digest)
    with readable(url, opening=True):
        study = open_study(
            study_name(run.path, storage), storage, run.config, survey, identity, run.data.has_fingerprint
        )
    with readable(url), Worker(study) as worker:
        left = worker.abandoned()
        with local_workers(run.path, url, workers):
            listing = run.path / "search.jsonl"
            seed = run.config.seed
            CandidateLoop(worker, problem_of(run), run.config, seed, strategy.score, listing, left).run()
    trials = study.get_trials(deepcopy=False)
    return {"trials": len(finished(trials)), "refused": infeasible_count(study)}, best_candidates(study)


def known_candidates(problem: Problem, bound_ms: float, score: Callable[[Genotype], float]) -> list[Candidate]:
    """Scores the compact networks and those that one would make by hand.

    Args:
        problem: The search problem.
        bound_ms: The largest predicted latency, ms.
        score: Gives the mIoU (0..1) of a network.

    Returns:
        The candidates.
    """
    by_hand, compact = networks_by_hand(problem, bound_ms), compact_networks(problem, bound_ms)
    return [
        Candidate(genotype, problem.costs(genotype).latency_ms, score(genotype), name, by_hand=name in by_hand)
        for name, genotype in {**by_hand, **compact}.items()
    ]


def write_winner(run: Run, strategy: Strategy, winner: Genotype, found: list[Candidate]) -> None:
    """Writes what later stages start from, and the Pareto front of a search that has one.

    Args:
        run: The run.
        strategy: What has the candidates' weights.
        winner: The winner.
        found: The best candidates, or those on the front.
    """
    folder = run.path / SEARCH
    if run.config.pareto:
        front = [{"latency_ms": c.latency_ms, "miou": c.miou, "genotype": c.genotype.to_dict()} for c in found]
        write_json(folder / "pareto.json", front)
    save_network(strategy.finals.network(winner), run.made(SEARCH))
    if run.config.shares_weights:  # it may teach the winner: compress.distill --teacher largest
        save_network(strategy.finals.network(problem_of(run).largest()), folder / "teacher.pt")


def supernet_seconds(run: Run) -> float | None:
    """How long the supernet was trained. A search that is done does not fail for want of this figure.

    Args:
        run: The run.

    Returns:
        The seconds; 0 for a search without a supernet; None where the file that keeps them is damaged, which is said
        on stderr.
    """
    if not run.config.shares_weights:
        return 0.0
    path = run.path / SEARCH / "supernet.json"
    try:
        seconds = read_json(path, "this figure is left out", dict).get("seconds")
    except InputError as error:
        print(error, file=sys.stderr)
        return None
    if not is_number(seconds):
        print(f"{path} lacks seconds as a number; this figure is left out", file=sys.stderr)
        return None
    return float(seconds)
