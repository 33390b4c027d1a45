"""The trainings of a search's finalists, which pause at each rung of the halving (`nas.halving`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compress.files.tensors import load_network, save_network
from compress.stages.fitting import CHECKPOINT
from compress.stages.run import SEARCH, TRAINED, Run
from compress.stages.side_by_side import Training, train_side_by_side
from compress.stages.train import SEED, winner_schedule
from compress.training.schedule import Schedule
from nas.start import has_donor
from nas.study import Candidate
from search_spaces.genotype import Genotype
from search_spaces.network import Network

HEAD_LR = 4.0  # times the backbone's: a donor's backbone has learned much, a new head nothing (docs/training.md)
# of the weights, without --ema: at a rung the learning rate is high, so single steps change the mIoU by points; at the
# end it is so low that the average changes nothing
EMA = 0.95
START = "start.pt"  # the weights that a finalist's training started from; kept while it may go on


@dataclass(frozen=True)
class Finals:
    """The trainings of finalists.

    In a run with a donor they start from the donor. The weights of a supernet favour networks like its smallest one,
    and a long training gains nothing from them (docs/training.md). In other runs they go on from the weights that
    scored the network as a candidate.

    Attributes:
        run: The run.
        score: Gives the mIoU (0..1) of a network as int8.
        first: Builds a network with the weights that scored it.
        from_donor: Builds a network that starts from the donor; gives None in a run without one.
    """

    run: Run
    score: Callable[[Network], float]
    first: Callable[[Genotype], Network]
    from_donor: Callable[[Genotype], Network | None] = lambda genotype: None

    def file(self, genotype: Genotype, rung: int | None) -> Path:
        """Where a network is kept as it was at a rung.

        Args:
            genotype: The network.
            rung: The rung's steps; None for the end.

        Returns:
            The file.
        """
        return self.run.trained_folder(genotype) / ("network.pt" if rung is None else f"after-{rung}.pt")

    def started(self, genotype: Genotype) -> Network:
        """Builds a network with the weights that its training starts from. They are kept until `finish`.

        Args:
            genotype: The network.

        Returns:
            The network.
        """
        file = self.run.trained_folder(genotype) / START
        if not file.exists():
            save_network(self.from_donor(genotype) or self.first(genotype), file)
        return load_network(file)

    def network(self, genotype: Genotype) -> Network:
        """Builds a network with the weights that it has after the search.

        Args:
            genotype: The network.

        Returns:
            The network at the end of its training; one that was not trained to the end has the weights that scored it.
        """
        file = self.file(genotype, None)
        return load_network(file) if file.exists() else self.first(genotype)

    def train(self, rung: int | None, candidates: Sequence[Candidate]) -> list[float]:
        """Trains networks on, unless that was done before, and scores them.

        Args:
            rung: The steps after which the trainings pause; None to end them.
            candidates: The networks.

        Returns:
            The mIoU (0..1) of each as int8.

        Raises:
            DivergedError: A loss or a weight is not finite.
            InputError: A checkpoint, a log or a file of the data is damaged.
        """
        files = {one: self.file(one.genotype, rung) for one in candidates}
        trainings = [
            Training(
                self.started(one.genotype),
                as_finalist(self.run, winner_schedule(self.run.config, one.latency_ms)),
                file,
                f"finalist {one.genotype.id}",
                SEED,
                rung,
            )
            for one, file in files.items()
            if not file.exists()
        ]
        train_side_by_side(self.run, trainings)
        return [self.score(load_network(file).to(self.run.device)) for file in files.values()]

    def finish(self) -> None:
        """Deletes what trainings would need to go on. None goes on after the search."""
        for folder in (self.run.path / SEARCH / TRAINED).glob("*/"):
            for name in (START, CHECKPOINT):
                (folder / name).unlink(missing_ok=True)


def as_finalist(run: Run, schedule: Schedule) -> Schedule:
    """Changes a schedule as it is changed for finalists.

    Weights are averaged over some twenty steps, unless the user gave `--ema`. In a run with a donor the new head learns
    faster than the backbone.

    Args:
        run: The run.
        schedule: The schedule of a network that begins with the run's first weights.

    Returns:
        The schedule of a finalist.

    Raises:
        InputError: A package or a file is missing, or cannot be read.
    """
    averaged = replace(schedule, ema=schedule.ema or EMA)
    return replace(averaged, head_lr=HEAD_LR) if has_donor(run) else averaged
