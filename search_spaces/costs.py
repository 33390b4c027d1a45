"""MACs and parameters, summed over an op list. Latency is the table's (`search_spaces.latency_table`)."""

from math import prod

from search_spaces.ops import CONV, DEPTHWISE, Graph, Op


def op_macs(op: Op) -> int:
    """Multiply-accumulates of a convolution for one image; other ops have none."""
    if op.kind not in (CONV, DEPTHWISE):
        return 0
    height, width, _ = op.shape
    return height * width * prod(op.weight_shape)


def macs(graph: Graph) -> int:
    """Multiply-accumulates for one image."""
    return sum(map(op_macs, graph))


def params(graph: Graph) -> int:
    """Weights and biases of the deployed network, batch norm folded."""
    return sum(prod(op.weight_shape) + op.shape[2] for op in graph if op.has_weights)
