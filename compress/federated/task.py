"""What a server asks of its clients: the network, the classes, how to train. It holds numbers and names, no code."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_type_hints

from compress.data.dataset import DataSet
from compress.training.privacy import Privacy
from compress.training.schedule import LR_SCHEDULES, Schedule
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype

MAX_STEPS = 10_000_000  # of a task that a client takes
MAX_SIDE = 8192  # pixels a side of a crop or an input that a client takes


class RefusedError(InputError):
    """A client does not take part. Its text names no file of the client, because the server reads it."""


@dataclass(frozen=True)
class Task:
    """A federated training, as a client reads it.

    Attributes:
        genotype: The network.
        classes: The names of the classes, in order.
        label_map: What stands for the classes in masks, as `spelled_labels` gives it.
        bands: How images become bytes (`compress.data.pixels.Pixels.to_dict`).
        input_size: Height and width of the network's input, in pixels.
        loss: Losses on the labels with their weights.
        class_weights: How classes are weighted; each client counts its own pixels.
        augment: How training images are changed.
        sampling: Where training crops lie.
        rounds: How many rounds there are.
        local_steps: Optimizer steps of a client in a round.
        batch: Crops in a batch.
        crop: Side of a crop in pixels.
        lr: The highest learning rate.
        weight_decay: AdamW's weight decay.
        lr_schedule: How the learning rate rises and falls over the steps of all rounds.
        seed: Chooses the crops, together with the client's name.
        local_batch_norm: Whether each client keeps its own batch normalization (FedBN, Li et al. 2021).
        dp_epsilon: The bound on what a client's weights tell about one of its images; 0 for none.
        dp_delta: The probability with which it need not hold; 0 for 1 / (10 * images) of each client.
        max_grad_norm: The norm to which the gradient of each image is clipped.
    """

    genotype: dict[str, Any]
    classes: tuple[str, ...]
    label_map: str
    bands: dict[str, Any]
    input_size: tuple[int, int]
    loss: str
    class_weights: str
    augment: str
    sampling: str
    rounds: int
    local_steps: int
    batch: int
    crop: int
    lr: float
    weight_decay: float
    lr_schedule: str
    seed: int
    local_batch_norm: bool = False
    dp_epsilon: float = 0.0
    dp_delta: float = 0.0
    max_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        steps, sides = self.rounds * self.local_steps, (*self.input_size, self.crop)
        if not (self.rounds > 0 and self.local_steps > 0 and steps <= MAX_STEPS and 0 < self.batch <= MAX_SIDE):
            raise RefusedError(
                f"{self.rounds} rounds of {self.local_steps} steps and batches of {self.batch}: too many"
            )
        if not all(0 < side <= MAX_SIDE for side in sides):
            raise RefusedError(f"the sides {sides} in pixels are out of range")
        if self.lr_schedule not in LR_SCHEDULES:
            raise RefusedError(f"the learning rate schedule {self.lr_schedule!r} is unknown; use the same version")

    @property
    def privacy(self) -> Privacy | None:
        """The bound; None for a training without one."""
        return Privacy(self.dp_epsilon, self.dp_delta or None, self.max_grad_norm) if self.dp_epsilon else None

    @property
    def schedule(self) -> Schedule:
        """The schedule of all rounds."""
        return Schedule(
            self.rounds * self.local_steps, self.batch, self.crop, self.lr, self.weight_decay, self.lr_schedule
        )

    @property
    def network_genotype(self) -> Genotype:
        """The network's genotype. Raises ValueError for one that is no network of this version."""
        return Genotype.from_dict(self.genotype)

    def to_json(self) -> str:
        """Spells the task.

        Returns:
            JSON text.
        """
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Task":
        """Reads what `to_json` wrote.

        Args:
            text: What came from the server.

        Returns:
            The task.

        Raises:
            RefusedError: The text is no task of this version.
        """
        try:
            whole = json.loads(text)
            hints = get_type_hints(Task)
            return Task(**{field.name: typed(whole[field.name], hints[field.name]) for field in fields(Task)})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RefusedError(
                f"the server's task cannot be read ({error}); use the same version of SlimLab"
            ) from error


def typed(value: Any, hint: Any) -> Any:
    """Gives a JSON value the type of a field.

    Args:
        value: The value.
        hint: The field's type.

    Returns:
        The value; lists as tuples.

    Raises:
        TypeError: The type is another.
    """
    if isinstance(value, list):
        element = hint.__args__[0]
        if not all(isinstance(part, element) and not isinstance(part, bool) for part in value):
            raise TypeError(f"{value!r} must hold {element.__name__} values")
        return tuple(value)
    kinds = (int, float) if hint is float else getattr(hint, "__origin__", hint)
    if not isinstance(value, kinds) or (isinstance(value, bool) and hint is not bool):
        raise TypeError(f"{value!r} must be {getattr(hint, '__name__', hint)}")
    return value


def same_data(task: Task, data: DataSet) -> None:
    """Checks that a client's data set has the classes, the label map and the bands of the run.

    Args:
        task: The task.
        data: The client's data set.

    Raises:
        RefusedError: One of them differs.
    """
    if data.classes != task.classes:
        raise RefusedError(f"classes are {listed(data.classes)}, the run's are {listed(task.classes)}; make them alike")
    if spelled_labels(data) != task.label_map:
        raise RefusedError("its masks show the classes by other values or colours; use the classes.txt of the run")
    if data.pixels.to_dict() != task.bands:
        raise RefusedError(
            f"images are read as {spelled(data.pixels.to_dict())}, the run's as {spelled(task.bands)}; "
            "make the images alike, or use the bands.txt of the run"
        )


def within_epsilon(task: Task, epsilon: float, images: int) -> None:
    """Checks that a task tells no more about one of a client's images than the client allows.

    Args:
        task: The task.
        epsilon: The bound that the client sets.
        images: The client's number of training images.

    Raises:
        RefusedError: The task has a greater bound, none, or one that need not hold for a whole image.
    """
    if task.privacy is None or task.dp_epsilon > epsilon:
        asked = f"--dp-epsilon {task.dp_epsilon:g}" if task.privacy else "no --dp-epsilon"
        raise RefusedError(f"allows --dp-epsilon {epsilon:g} at most, and the server has {asked}; lower it there")
    if task.dp_delta * images >= 1:
        raise RefusedError(f"--dp-delta {task.dp_delta:g} is not below 1 / {images} images; lower it at the server")


def spelled_labels(data: DataSet) -> str:
    """Spells what stands for the classes in masks.

    Args:
        data: A data set.

    Returns:
        The values of the classes, the void values and the colours.
    """
    return f"{data.labels.values} {data.labels.void} {data.labels.paint}"


def listed(values: tuple[object, ...]) -> str:
    """Spells the first values of a list.

    Args:
        values: The values.

    Returns:
        Up to eight of them.
    """
    return ", ".join(map(str, values[:8])) + (f" and {len(values) - 8} more" if len(values) > 8 else "")


def spelled(bands: Mapping[str, Any]) -> str:
    """Spells how images become bytes.

    Args:
        bands: What `Pixels.to_dict` gives.

    Returns:
        A short text.
    """
    return " ".join(f"{name} {value}" for name, value in bands.items())
