"""The last rounds of a search: its best candidates train on, each by itself.

All finalists train for a short time, which corrects most of the bias of shared weights (benchmarks/rank_fidelity.md).
Short trainings favour networks that learn fast. So the best two are trained to the end, and the better one wins. This
is the runoff.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from compress.files.tensors import load_network
from compress.stages.config import Part
from compress.stages.run import ROUNDS, Run
from compress.stages.side_by_side import Training, train_side_by_side
from compress.stages.train import SEED, winner_schedule
from compress.training.schedule import Schedule
from nas.study import Candidate
from search_spaces.genotype import Genotype
from search_spaces.network import Network

SEEDS: dict[Part, int] = {"finalist": 7, "train": SEED}  # of the crops


@dataclass(frozen=True)
class Finals:
    """The trainings of finalists.

    In a run with a donor, each round starts from the donor. The weights of a supernet favour networks like its smallest
    one, and a long training gains nothing from them (docs/training.md). In other runs each round goes on from the
    weights of the one before.

    Attributes:
        run: The run.
        score: Gives the mIoU (0..1) of a network as int8.
        first: Builds a network with the weights that its first round starts from where there is no donor.
        from_donor: Builds a network that starts from the donor; gives None in a run without one.
    """

    run: Run
    score: Callable[[Network], float]
    first: Callable[[Genotype], Network]
    from_donor: Callable[[Genotype], Network | None] = lambda genotype: None

    def file(self, part: Part, genotype: Genotype) -> Path:
        """Where a round keeps a trained network.

        Args:
            part: The round.
            genotype: The network.

        Returns:
            The file.
        """
        return self.run.round_folder(part, genotype) / "network.pt"

    def before(self, part: Part, genotype: Genotype) -> Network:
        """Builds a network with the weights that a round starts from.

        Args:
            part: The round.
            genotype: The network.

        Returns:
            The network as the donor starts it, or where there is no donor as the rounds before left it.
        """
        rounds = list(ROUNDS)
        return self.from_donor(genotype) or self._left_by(rounds[: rounds.index(part)], genotype)

    def network(self, genotype: Genotype) -> Network:
        """Builds a network with the weights that it has after the search.

        Args:
            genotype: The network.

        Returns:
            The network as its last round left it, or with its first weights.
        """
        return self._left_by(list(ROUNDS), genotype)

    def _left_by(self, rounds: Sequence[Part], genotype: Genotype) -> Network:
        files = [self.file(part, genotype) for part in reversed(rounds)]
        newest = next((file for file in files if file.exists()), None)
        return self.first(genotype) if newest is None else load_network(newest)

    def schedule(self, part: Part, candidate: Candidate) -> Schedule:
        """How long a network trains in a round.

        Args:
            part: The round.
            candidate: The network.

        Returns:
            The schedule of the round; in the runoff that of a winner.
        """
        config = self.run.config
        return winner_schedule(config, candidate.latency_ms) if part == "train" else config.schedule(part)

    def train_on(self, part: Part, candidates: Sequence[Candidate]) -> list[float]:
        """Trains networks in a round, unless that was done before, and scores them.

        Args:
            part: The round.
            candidates: The networks.

        Returns:
            The mIoU (0..1) of each as int8.

        Raises:
            DivergedError: A loss or a weight is not finite.
            InputError: A checkpoint, a log or a file of the data is damaged.
        """
        files = {one: self.file(part, one.genotype) for one in candidates}
        trainings = [
            Training(
                self.before(part, one.genotype),
                self.schedule(part, one),
                file,
                f"{part} {one.genotype.id}",
                SEEDS[part],
            )
            for one, file in files.items()
            if not file.exists()
        ]
        train_side_by_side(self.run, trainings)
        return [self.score(load_network(file).to(self.run.device)) for file in files.values()]
