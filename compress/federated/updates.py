"""Weights as they travel between server and clients, and what is wrong with those that arrive.

Flower sends an array as a .npy file and reads it with `allow_pickle=False`: nothing that arrives is run as code.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np
import torch
from torch import Tensor, nn

from compress.federated.flower import Array, ArrayRecord, Message, MetricRecord
from search_spaces.network import Network

ARRAYS, METRICS, CONFIG = "arrays", "metrics", "config"  # the records of a message
IMAGES = "num-examples"  # by which Flower weights an update
TASK, NAME = "task", "name"
COUNTERS = "num_batches_tracked"  # of batch normalization; no network uses them
HEADER_BYTES = 1024  # of a .npy file, at most


def batch_norm_names(network: nn.Module) -> frozenset[str]:
    """The tensors of batch normalization: scales, shifts, means and variances.

    Args:
        network: The network.

    Returns:
        Their names in the state dict.
    """
    layers = [name for name, layer in network.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    return frozenset(
        f"{layer}.{name}" for layer in layers for name in ("weight", "bias", "running_mean", "running_var")
    )


def shared_names(network: nn.Module, local_batch_norm: bool) -> tuple[str, ...]:
    """The tensors that server and clients exchange.

    Args:
        network: The network.
        local_batch_norm: Whether each client keeps its batch normalization.

    Returns:
        Their names, in the order of the state dict.
    """
    kept = batch_norm_names(network) if local_batch_norm else frozenset()
    return tuple(name for name in network.state_dict() if name not in kept and not name.endswith(COUNTERS))


def packed(weights: Mapping[str, Tensor], names: Collection[str]) -> ArrayRecord:
    """Packs tensors for a message.

    Args:
        weights: Tensors by name.
        names: Those to pack.

    Returns:
        The arrays, on the CPU.
    """
    return ArrayRecord({name: Array(np.ascontiguousarray(weights[name].detach().cpu().numpy())) for name in names})


def unpacked(arrays: ArrayRecord) -> dict[str, Tensor]:
    """Unpacks the tensors of a message.

    Args:
        arrays: The arrays.

    Returns:
        Tensors by name.

    Raises:
        ValueError: An array is no .npy file, or holds objects.
    """
    return {name: torch.from_numpy(np.array(array.numpy())) for name, array in arrays.items()}


def apply_weights(network: Network, weights: Mapping[str, Tensor]) -> None:
    """Sets some of a network's weights, and leaves the others.

    Args:
        network: The network.
        weights: Tensors by name.
    """
    network.load_state_dict({**network.state_dict(), **weights})


def size_bytes(arrays: ArrayRecord) -> int:
    """The size of arrays in a message.

    Args:
        arrays: The arrays.

    Returns:
        Bytes, without the names.
    """
    return sum(len(array.data) for array in arrays.values())


@dataclass(frozen=True)
class Expected:
    """What a client's update must look like.

    Attributes:
        shapes: The shape of each array, by name.
        images: How many training images each client has said it has, by its name.
    """

    shapes: Mapping[str, tuple[int, ...]]
    images: Mapping[str, int]

    def fault_of(self, client: str, reply: Message) -> str | None:
        """Says what is wrong with an update.

        Args:
            client: The client's name.
            reply: Its reply.

        Returns:
            A text for people; None for an update that can be averaged.
        """
        records = reply.content
        metrics, arrays = records.get(METRICS), records.get(ARRAYS)
        if set(records) != {ARRAYS, METRICS} or not isinstance(arrays, ArrayRecord):
            return f"the update holds {', '.join(sorted(map(str, records)))[:100] or 'nothing'} in place of weights"
        if not isinstance(metrics, MetricRecord) or not all(is_plain(value) for value in metrics.values()):
            return "a figure of the update is not a finite number"
        if metrics.get(IMAGES) != self.images.get(client):
            return f"the update says {metrics.get(IMAGES)} images, the client has {self.images.get(client)}"
        if set(arrays) != set(self.shapes):
            odd = sorted(set(arrays) ^ set(self.shapes))[0]
            return f"the update has other arrays than the network, {odd[:80]} first"
        return next(filter(None, (array_fault(name, arrays[name], self.shapes[name]) for name in self.shapes)), None)


def is_plain(value: object) -> bool:
    """Whether a figure is a finite number.

    Args:
        value: The figure.

    Returns:
        True or false.
    """
    return isinstance(value, int | float) and isfinite(value)


def array_fault(name: str, array: Array, shape: tuple[int, ...]) -> str | None:
    """Says what is wrong with an array.

    Args:
        name: Its name.
        array: The array; it is read only when it is no larger than it should be.
        shape: The shape it should have.

    Returns:
        A text for people; None for a sound array.
    """
    size = 4 * int(np.prod(shape))
    if len(array.data) > size + HEADER_BYTES:
        return f"{name} has {len(array.data)} bytes in place of {size}"
    try:
        found = array.numpy()
    except Exception as error:  # numpy raises many kinds for a damaged file
        return f"{name} cannot be read ({type(error).__name__})"
    if not isinstance(found, np.ndarray) or (found.shape, found.dtype) != (shape, np.float32):
        return f"{name} is {getattr(found, 'shape', '?')} {getattr(found, 'dtype', '?')}, not {shape} float32"
    if not np.isfinite(found).all():
        return f"{name} has numbers that are not finite (NaN or infinite)"
    if name.endswith("running_var") and (found < 0).any():
        return f"{name} has variances below 0"
    return None
