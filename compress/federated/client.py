"""A client: its data, and what it keeps between rounds."""

from copy import copy
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

from torch import Tensor

from compress.data.crops import Crops, CropsOfImages
from compress.data.dataset import DataSet, open_data
from compress.federated.local_training import round_seed
from compress.federated.task import RefusedError, Task
from compress.federated.updates import batch_norm_names
from compress.files.tensors import load_tensors, save_tensors
from search_spaces.network import Network

KEY, MAX_EPSILON = "key", "max-epsilon"
BATCH_NORM = "batch-norm.pt"
KEPT_ROUNDS = 2  # of the client's batch normalization: a server that is killed may ask for the last round again


@dataclass(frozen=True)
class Client:
    """A client: its data and the folder of its files.

    Attributes:
        name: Its name.
        spec: Its `--data` value.
        folder: Where it keeps its checkpoint, its log and its batch normalization.
        seed: Draws the split of a data set that has none.
        opened: The crops of the task that the client works on.
    """

    name: str
    spec: str
    folder: Path
    seed: int
    opened: dict[str, Crops] = field(default_factory=dict)

    @cached_property
    def data(self) -> DataSet:
        """The data set. Raises InputError when it is not there."""
        return open_data(self.spec, self.seed)

    def crops(self, task: Task, number: int) -> Crops:
        """The crops of a round. The decoded images stay in memory from round to round.

        Args:
            task: The task.
            number: The round, from 1.

        Returns:
            As many crops as the round takes.
        """
        key = task.to_json()
        if key not in self.opened:
            self.opened.clear()
            self.opened[key] = self._open_crops(task)
        crops = copy(self.opened[key])
        crops.seed = round_seed(task, self.name, number)
        return crops

    def _open_crops(self, task: Task) -> Crops:
        if task.privacy is not None:
            return CropsOfImages(self.data, task.input_size, task.crop, task.local_steps, 0, task.augment)
        items = task.local_steps * task.batch
        return Crops(self.data, task.input_size, task.crop, items, 0, task.augment, task.sampling)

    def batch_norm(self, key: str, number: int) -> dict[str, Tensor]:
        """The client's own batch normalization at the beginning of a round.

        Args:
            key: Names the training.
            number: The round, from 1.

        Returns:
            The tensors by name.

        Raises:
            RefusedError: There is none: the client has not been asked about its data.
        """
        rounds = self.stored(key)
        before = [one for one in rounds if one < number]
        if not before:
            raise RefusedError("the client has lost its batch normalization; start its command again")
        return rounds[max(before)]

    def keep_batch_norm(self, key: str, number: int, network: Network) -> None:
        """Stores the client's batch normalization after a round.

        Args:
            key: Names the training.
            number: The round; 0 before the first one.
            network: The network.
        """
        weights = network.state_dict()
        own = {name: weights[name].cpu() for name in batch_norm_names(network)}
        rounds = {**{n: one for n, one in self.stored(key).items() if n < number}, number: own}
        kept = sorted(rounds)[-KEPT_ROUNDS:]
        save_tensors({KEY: key, **{str(one): rounds[one] for one in kept}}, self.folder / BATCH_NORM)

    def stored(self, key: str) -> dict[int, dict[str, Tensor]]:
        """Reads what `keep_batch_norm` stored in the same training.

        Args:
            key: Names the training.

        Returns:
            The tensors of each round.

        Raises:
            InputError: The file is damaged.
        """
        path = self.folder / BATCH_NORM
        stored = load_tensors(path) if path.exists() else {}
        return {int(name): one for name, one in stored.items() if name != KEY} if stored.get(KEY) == key else {}


@lru_cache(8)
def client_of(name: str, spec: str, folder: str, seed: int) -> Client:
    """The client of a process or of a simulation's folder; its decoded images stay in memory.

    Args:
        name: Its name.
        spec: Its `--data` value.
        folder: The folder of its files.
        seed: Draws the split of a data set that has none.

    Returns:
        The client.
    """
    return Client(name, spec, Path(folder), seed)
