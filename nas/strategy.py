"""The three ways to score a candidate: by what it inherits, with the weights of a supernet, or trained by itself.

`--strategy probe` asks how well the classes can be told apart by what the backbone of a candidate inherits
(`nas.probe`). `--strategy supernet` trains one supernet and scores each candidate with its weights. Both take seconds.
`--strategy train` trains every candidate for a short schedule; an Optuna pruner may stop the poor ones.

None of them sees what a whole training makes of a candidate. So the best candidates go on training before one is chosen
(`nas.finals`).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import optuna
import torch
from optuna.trial import Trial

from compress.files.records import write_json
from compress.files.tensors import check_weights, load_network, load_tensors, save_network, save_tensors
from compress.stages.fitting import CHECKPOINT, fit_network
from compress.stages.run import SEARCH, Run
from compress.training import distributed
from compress.training.device import share_cores
from compress.training.loop import AbandonedError, fit
from compress.training.trainee import Rungs
from nas.feasibility import Survey
from nas.finals import Finals
from nas.probe import open_probe
from nas.pruners import RUNGS
from nas.score import Scorer, calibration_batches
from nas.start import open_start, started_network, starter_from_donor
from nas.study import Score
from nas.study_identity import tensors_digest
from nas.supernet import Supernet, extract, largest_networks, sandwich
from search_spaces.genotype import Genotype
from search_spaces.network import Network

LARGE_SHARE = 0.15  # of the feasible draws: the slowest ones play the sandwich's large subnet


@dataclass(frozen=True)
class Strategy:
    """Where the scores of a search come from.

    Attributes:
        score: Gives the mIoU (0..1) of a candidate of the study.
        score_known: Gives the mIoU (0..1) of a known network.
        finals: Trains finalists.
        weights_digest: The digest of the shared weights; empty where candidates share none.
    """

    score: Score
    score_known: Callable[[Genotype], float]
    finals: Finals
    weights_digest: str = ""


def open_strategy(run: Run, name: str, workers: int = 1) -> Strategy:
    """Opens a strategy by its name.

    Args:
        run: The run. Where the strategy needs a supernet, it is trained.
        name: The value of `--strategy`.
        workers: How many workers share the cores of this machine.

    Returns:
        The strategy.

    Raises:
        InputError: The supernet's file is missing or damaged.
    """
    scorer = Scorer(run.validation, calibration_batches(run), run.config.input_size, share_cores(workers))
    return {"probe": probed, "supernet": shared_weights, "train": trained_alone}[name](run, scorer)


def supernet_file(run: Run) -> Path:
    """Where a run keeps its trained supernet.

    Args:
        run: The run.

    Returns:
        The path of supernet.pt.
    """
    return run.path / SEARCH / "supernet.pt"


def _supernet(run: Run) -> Supernet:
    torch.manual_seed(run.config.seed)
    return Supernet(*largest_networks(run.space, len(run.data.classes), run.config.input_size)).to(run.device)


def trained_supernet(run: Run) -> Supernet:
    """Loads the trained supernet of a run.

    Args:
        run: The run.

    Returns:
        The supernet in eval mode, on the run's device.

    Raises:
        InputError: Its file is missing or damaged.
    """
    supernet = _supernet(run)
    weights = load_tensors(supernet_file(run))
    check_weights(supernet.state_dict(), weights, supernet_file(run))
    supernet.load_state_dict(weights)
    return supernet.eval()


def probed(run: Run, scorer: Scorer) -> Strategy:
    """Scores candidates by a linear classifier on what their backbones inherit. No candidate is trained.

    Args:
        run: The run.
        scorer: Scores finalists.

    Returns:
        The strategy.

    Raises:
        InputError: The file of `--weights` cannot be used, or a file of the data cannot be read.
    """
    start, probe = open_start(run), open_probe(run)

    def score(genotype: Genotype, trial: Trial | None = None) -> float:
        return probe.score(started_network(run, start, genotype))

    return Strategy(score, score, Finals(run, scorer.score, partial(started_network, run, start)))


def shared_weights(run: Run, scorer: Scorer) -> Strategy:
    """Scores candidates with the weights of the supernet. Finalists are trained on.

    Args:
        run: The run; its supernet is trained.
        scorer: Scores a network.

    Returns:
        The strategy.

    Raises:
        InputError: The supernet's file is missing or damaged.
    """
    supernet = trained_supernet(run)

    def score(genotype: Genotype, trial: Trial | None = None) -> float:
        return scorer.score(extract(supernet, genotype), shared=True)

    def of_supernet(genotype: Genotype) -> Network:
        subnet = extract(supernet, genotype)
        scorer.recalibrate(subnet)
        return subnet.cpu()

    finals = Finals(run, scorer.score, of_supernet, starter_from_donor(run))
    return Strategy(score, score, finals, tensors_digest(supernet.state_dict()))


def train_supernet(run: Run, survey: Survey, smallest: Genotype) -> None:
    """Trains the supernet of a run and writes RUN/search/supernet.pt, unless it is there.

    A killed training goes on from its checkpoint. Under torchrun all ranks take part.

    Args:
        run: The run.
        survey: The feasible draws; the large and the random subnets come from them.
        smallest: The smallest network. Every step trains it.

    Raises:
        InputError: The file of `--weights` cannot be used, or the training diverges.
    """
    folder, schedule = run.path / SEARCH, run.config.schedule("supernet")
    if distributed.broadcast(supernet_file(run).exists()):
        return
    supernet = _supernet(run)
    open_start(run).supernet(supernet.shared)
    feasible = [drawn.genotype for drawn in survey.feasible]
    large = feasible[-max(1, round(len(feasible) * LARGE_SHARE)) :]

    crops = run.crops(schedule, seed=1)

    def draw(step: int) -> list[Genotype]:
        rng = random.Random(f"{run.config.seed} {crops.seed + step}")
        return [rng.choice(large), rng.choice(feasible), smallest]

    def save(seconds: float) -> None:
        write_json(folder / "supernet.json", {"seconds": seconds})
        save_tensors(supernet.state_dict(), supernet_file(run))

    losses = sandwich(supernet, draw, run.config.input_size, run.label_loss)
    file = folder / CHECKPOINT
    fit(supernet, losses, crops, schedule, file, "supernet", training_key=run.training_key, save=save)


def trained_alone(run: Run, scorer: Scorer) -> Strategy:
    """Trains each candidate by itself. Their weights are kept in RUN/search/candidates.

    Args:
        run: The run.
        scorer: Scores a network.

    Returns:
        The strategy.

    Raises:
        InputError: The file of `--weights` cannot be used.
    """
    folder, schedule = run.path / SEARCH / "candidates", run.config.schedule("candidate")
    start = open_start(run)

    def trained(genotype: Genotype, title: str, report: Callable[[int, float], None]) -> float:
        place = folder / genotype.id
        network = started_network(run, start, genotype)
        mious: list[float] = []

        def at_rung(rung: int) -> None:
            mious.append(scorer.score(network))
            report(rung, mious[-1])

        def save(seconds: float) -> None:
            save_network(network.cpu(), place / "network.pt")

        fit_network(run, network, schedule, place, title, seed=8, rungs=Rungs(RUNGS, at_rung), save=save)
        return mious[-1]

    def score(genotype: Genotype, trial: Trial) -> float:
        def report(rung: int, miou: float) -> None:
            if len(trial.study.directions) > 1:  # a pruner has one objective to go by
                return
            trial.report(miou, rung)
            if trial.should_prune() and rung < RUNGS:
                raise AbandonedError

        try:
            return trained(genotype, f"candidate {trial.number}", report)
        except AbandonedError:
            raise optuna.TrialPruned from None

    def score_known(genotype: Genotype) -> float:
        file = folder / genotype.id / "network.pt"  # the study may have proposed it too
        if file.exists():
            return scorer.score(load_network(file).to(run.device))
        return trained(genotype, f"known {genotype.id}", lambda rung, miou: None)

    donor = starter_from_donor(run)
    finals = Finals(run, scorer.score, lambda genotype: load_network(folder / genotype.id / "network.pt"), donor)

    return Strategy(score, score_known, finals)
