"""MACs, parameters and memory of an op list. Latency is the table's (`compress.latency.table`)."""

from math import prod

from search_spaces.ops import ARGMAX, CONV, DEPTHWISE, Graph, Op


def op_macs(op: Op) -> int:
    """Counts the multiply-accumulates of an op for one image.

    Args:
        op: The op.

    Returns:
        MACs; 0 for all ops but convolutions.
    """
    if op.kind not in (CONV, DEPTHWISE):
        return 0
    height, width, _ = op.shape
    return height * width * prod(op.weight_shape)


def macs(graph: Graph) -> int:
    """Counts the multiply-accumulates of a network for one image.

    Args:
        graph: The network's ops.

    Returns:
        MACs.
    """
    return sum(map(op_macs, graph))


def params(graph: Graph) -> int:
    """Counts the parameters of a deployed network, whose batch norm is folded into its convolutions.

    Args:
        graph: The network's ops.

    Returns:
        The number of weights and biases.
    """
    return sum(prod(op.weight_shape) + op.shape[2] for op in graph if op.has_weights)


CHANNEL_BYTES = 8  # scales (float32) of the weights and of the bias, for every channel of an int8 file
OP_BYTES = 1000  # names, shapes and options of an op and its values


def size_bytes(graph: Graph) -> int:
    """Estimates the size of the int8 .tflite file: a byte a weight, four a bias, and what describes them.

    Args:
        graph: The network's ops.

    Returns:
        Bytes.
    """
    weights = sum(prod(op.weight_shape) + (4 + CHANNEL_BYTES) * op.shape[2] for op in graph if op.has_weights)
    return weights + OP_BYTES * len(graph)


def arena_bytes(graph: Graph) -> int:
    """Counts the most bytes of int8 activations that are alive at once while the ops run in order.

    No runtime can do with a smaller arena.

    Args:
        graph: The network's ops.

    Returns:
        Bytes.
    """
    last_read = {name: i for i, op in enumerate(graph) for name in op.inputs}
    alive: dict[str, int] = {}
    most = 0
    for i, op in enumerate(graph):
        alive |= {name: prod(shape) for name, shape in zip(op.inputs, op.in_shapes, strict=True)}
        alive[op.name] = prod(op.shape) * (4 if op.kind == ARGMAX else 1)
        most = max(most, sum(alive.values()))
        alive = {name: size for name, size in alive.items() if last_read.get(name, -1) > i}
    return most
