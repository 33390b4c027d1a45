"""Which values of a network have the same channels, and which convolutions make and read them."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from search_spaces.backbone import is_backbone
from search_spaces.ops import ADD, CONCAT, CONV, DEPTHWISE, MEAN, MUL, RESIZE, SIGMOID, Graph, Op

LINEAR = (ADD, MEAN, RESIZE)  # ops that may change places with any linear map of the channels
CHANNELWISE = (*LINEAR, DEPTHWISE, MUL, SIGMOID)  # ops whose output channels are those of their inputs


@dataclass(frozen=True)
class Channels:
    """Values whose channels belong together: what is done to the channels of one is done to those of all.

    Attributes:
        values: The names of the values.
        makers: The convolutions that make them.
        readers: The other ops that read them.
    """

    values: frozenset[str]
    makers: tuple[Op, ...]
    readers: tuple[Op, ...]

    @property
    def outputs(self) -> list[str]:
        """The outputs of the blocks of a stage: the first projection and all sums, in order."""
        first = [op.name for op in self.makers if op.name.endswith(".0.project")]
        return first + sorted(name for name in self.values if is_backbone(name) and name.endswith(".add"))


def tied(graph: Graph, kinds: Collection[str]) -> list[Channels]:
    """Finds the values of a network whose channels belong together.

    Args:
        graph: The network's ops.
        kinds: The kinds of ops that tie their output to their inputs.

    Returns:
        The groups, each value in one of them, in the order of their first values.
    """
    group: dict[str, set[str]] = {}
    for op in graph:
        members = {op.name}.union(*(group.get(name, {name}) for name in op.inputs if op.kind in kinds))
        group |= dict.fromkeys(members, members)
    found = {id(members): members for members in group.values()}
    return [_channels(graph, frozenset(members)) for members in found.values()]


def _channels(graph: Graph, values: frozenset[str]) -> Channels:
    makers = tuple(op for op in graph if op.name in values and op.has_weights)
    readers = tuple(op for op in graph if op.name not in values and values & set(op.inputs))
    return Channels(values, makers, readers)


def residual_streams(graph: Graph) -> Iterator[tuple[Channels, Channels]]:
    """Finds the residual stream of each stage: the outputs of its blocks, which residual additions tie.

    Args:
        graph: The network's ops.

    Yields:
        For each stage its stream, and the stream with all values whose channels have the same order, such as those
        of a depthwise convolution that reads it.
    """
    wider = tied(graph, CHANNELWISE)
    for stream in tied(graph, LINEAR):
        if any(_is_projection(op) for op in stream.makers):
            yield stream, next(group for group in wider if stream.values <= group.values)


def hidden_channels(graph: Graph) -> list[Channels]:
    """Finds the hidden channels of each inverted residual. The stem makes those of a block without expansion.

    Args:
        graph: The network's ops.

    Returns:
        The hidden channels of each block, in order.
    """
    groups = tied(graph, CHANNELWISE)
    return [group for group in groups if any(_is_projection(op) for op in group.readers) and can_be_sorted(group)]


def can_be_turned(stream: Channels) -> bool:
    """Tells whether a change of basis of a stream can be folded into the convolutions around it.

    A depthwise convolution that reads the stream keeps its channels apart, so nothing can be folded into it.

    Args:
        stream: The stream.

    Returns:
        Whether ordinary convolutions alone make it and read it.
    """
    return all(op.kind == CONV for op in (*stream.makers, *stream.readers))


def can_be_sorted(group: Channels) -> bool:
    """Tells whether the channels of a group can change their order.

    Args:
        group: All values that have these channels.

    Returns:
        Whether no concat reads them.
    """
    return all(op.kind != CONCAT for op in group.readers)


def _is_projection(op: Op) -> bool:
    return is_backbone(op.name) and op.name.endswith(".project")
