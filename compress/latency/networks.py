"""Random whole networks of a space, and the control networks among them.

What a few small ops cannot show (memory placed elsewhere by another process, neighbours on the host that come and go by
the hour) moves whole networks by some percent. The control networks are timed in turns with every group of other
networks, and those count in units of them.
"""

import random

from compress.latency.spec import TableSpec
from compress.tflite.writer import random_weight_model
from search_spaces.ops import Graph
from search_spaces.trials import RandomTrial

CONTROL_NETWORKS = 4
CONTROL_SEED = 2


def random_networks(spec: TableSpec, count: int, seed: int) -> dict[str, Graph]:
    """Networks drawn from the space.

    Args:
        spec: Space, classes and input size.
        count: How many.
        seed: The same seed gives the same networks.

    Returns:
        The ops of each network, by a name that tells seed and number.
    """
    rng = random.Random(seed)
    return {
        f"network {seed}.{i}": spec.space.graph(spec.space.sample(RandomTrial(rng), spec.classes, spec.input_size))
        for i in range(count)
    }


def control_network_files(spec: TableSpec) -> list[bytes]:
    """The control networks of a table: the same ones in the build and in every check.

    Args:
        spec: What the table holds true of.

    Returns:
        The content of a .tflite file with random weights for each.
    """
    graphs = random_networks(spec, CONTROL_NETWORKS, CONTROL_SEED).values()
    return [random_weight_model(graph, spec.precision) for graph in graphs]
