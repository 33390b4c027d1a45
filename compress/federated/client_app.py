"""What a client answers to a server: whether its data fits, a round of training, its accuracy.

The same code answers in a simulation and on another machine. An answer holds weights and a few figures; it never holds
an image, a mask, a file name or a count of classes. What goes wrong is told in full at the client alone.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from compress.data.check import check
from compress.data.validation import read_validation
from compress.evaluation.metrics import mean_iou
from compress.evaluation.network import evaluate_network
from compress.federated.client import KEY, MAX_EPSILON, Client, client_of
from compress.federated.flower import (
    ClientApp,
    ConfigRecord,
    Context,
    Error,
    ErrorCode,
    Message,
    MetricRecord,
    RecordDict,
)
from compress.federated.local_training import LocalRound, train_round
from compress.federated.task import RefusedError, Task, same_data, within_epsilon
from compress.federated.updates import (
    ARRAYS,
    CONFIG,
    IMAGES,
    METRICS,
    NAME,
    TASK,
    apply_weights,
    batch_norm_names,
    packed,
    shapes_of,
    shared_names,
    unpacked,
    weights_fault,
)
from compress.training.device import training_device
from search_spaces.errors import InputError
from search_spaces.network import Network

ROUND, PROXIMAL_MU = "server-round", "proximal-mu"
END = "query.end"  # the message after which a client leaves

app = ClientApp()


@dataclass(frozen=True)
class Asked:
    """A message of the server, read.

    Attributes:
        client: Who is asked.
        task: The task.
        number: The round, from 1; 0 before the first one.
        key: Names the training.
        network: The network with the weights that came, and the client's batch normalization if it keeps its own.
        proximal_mu: The weight of FedProx's term.
    """

    client: Client
    task: Task
    number: int
    key: str
    network: Network
    proximal_mu: float

    @staticmethod
    def of(message: Message, context: Context) -> "Asked":
        """Reads a message. Nothing in it is trusted.

        Args:
            message: The message.
            context: The client's settings.

        Returns:
            What is asked.

        Raises:
            RefusedError: The message is not one of this version, the weights are not those of the network, or the task
                may tell more about an image than the client allows.
        """
        config, own = message.content[CONFIG], context.node_config
        task = Task.from_json(str(config[TASK]))
        client = client_of(str(own["name"]), str(own["data"]), str(own["folder"]), task.seed)
        if MAX_EPSILON in own:
            within_epsilon(task, float(own[MAX_EPSILON]), len(client.data.train))
        number, key = int(config.get(ROUND, 0)), str(config[KEY])
        try:
            network = Network(task.network_genotype)
        except (KeyError, TypeError, ValueError) as error:
            raise RefusedError(f"the network is unknown ({error}); use the same version of SlimLab") from error
        own_batch_norm = task.local_batch_norm and number > 0
        arrays, state = message.content[ARRAYS], network.state_dict()
        shapes = shapes_of(state, shared_names(network, own_batch_norm))
        if fault := weights_fault(arrays, shapes):
            raise RefusedError(f"the server's weights do not fit its network: {fault}")
        own_weights = client.batch_norm(key, number) if own_batch_norm else {}
        apply_weights(network, {**unpacked(arrays, shapes), **own_weights})
        return Asked(client, task, number, key, network, float(config.get(PROXIMAL_MU, 0.0)))


Answer = Callable[[Asked], RecordDict]


def answering(answer: Answer) -> Callable[[Message, Context], Message]:
    """Makes an answer a function that Flower calls. What goes wrong becomes an error reply.

    Args:
        answer: The answer.

    Returns:
        The function.
    """

    def reply(message: Message, context: Context) -> Message:
        try:
            return Message(answer(Asked.of(message, context)), reply_to=message)
        except InputError as error:
            print(f"{context.node_config['name']}: {error}", file=sys.stderr)
            said = str(error) if isinstance(error, RefusedError) else "cannot go on; its own output says why"
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, said), reply_to=message)

    return reply


def describe(asked: Asked) -> RecordDict:
    """Checks the client's data as `compress.check` does, and says how many training images there are.

    Args:
        asked: What the server asks.

    Returns:
        The number of training images and the client's name.

    Raises:
        RefusedError: Classes, label map or bands are not the run's.
        InputError: The data set has faults.
    """
    client = asked.client
    same_data(asked.task, client.data)
    check(client.data)
    if asked.task.local_batch_norm and not client.stored(asked.key):
        client.keep_batch_norm(asked.key, 0, asked.network)
    figures = MetricRecord({IMAGES: len(client.data.train)})
    return RecordDict({METRICS: figures, CONFIG: ConfigRecord({NAME: client.name})})


def train(asked: Asked) -> RecordDict:
    """Trains for a round.

    Args:
        asked: What the server asks.

    Returns:
        The weights after the round, the number of training images, the loss and the seconds.

    Raises:
        InputError: The training diverged, or a file is damaged.
    """
    begun, client, network = time.monotonic(), asked.client, asked.network
    crops = client.crops(asked.task, asked.number)
    local = LocalRound(crops, asked.task, asked.number, client.folder, training_device(), asked.proximal_mu)
    trained = train_round(network, local)
    if asked.task.local_batch_norm:
        client.keep_batch_norm(asked.key, asked.number, network)
    figures = {IMAGES: len(client.data.train), **trained, "seconds": time.monotonic() - begun}
    names = shared_names(network, asked.task.local_batch_norm)
    return RecordDict({ARRAYS: packed(network.state_dict(), names), METRICS: MetricRecord(figures)})


def evaluate(asked: Asked) -> RecordDict:
    """Evaluates the network on the client's validation split.

    Args:
        asked: What the server asks.

    Returns:
        The number of training images and the mIoU (0..1).

    Raises:
        InputError: A file cannot be read.
    """
    client, device = asked.client, training_device()
    validation = read_validation(client.data, asked.task.input_size)
    miou = mean_iou(evaluate_network(asked.network.to(device), validation, device))
    return RecordDict({METRICS: MetricRecord({IMAGES: len(client.data.train), "miou": miou})})


def show_batch_norm(asked: Asked) -> RecordDict:
    """Gives the client's batch normalization away, once, after the last round.

    Args:
        asked: What the server asks; its round is the one after the last.

    Returns:
        The batch normalization and the number of training images.
    """
    client, network = asked.client, asked.network
    arrays = packed(network.state_dict(), batch_norm_names(network))
    return RecordDict({ARRAYS: arrays, METRICS: MetricRecord({IMAGES: len(client.data.train)})})


app.query()(answering(describe))
app.train()(answering(train))
app.evaluate()(answering(evaluate))
app.query("batch_norm")(answering(show_batch_norm))
app.query("end")(lambda message, context: Message(RecordDict(), reply_to=message))
