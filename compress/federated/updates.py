"""Weights as they travel between server and clients, and what is wrong with those that arrive.

Flower sends an array as a .npy file and reads it with `allow_pickle=False`: nothing that arrives is run as code.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import isfinite, prod

import numpy as np
import torch
from torch import Tensor, nn

from compress.federated.flower import Array, ArrayRecord, Message, MetricRecord
from search_spaces.network import Network

ARRAYS, METRICS, CONFIG = "arrays", "metrics", "config"  # the records of a message
IMAGES = "num-examples"  # by which Flower weights an update
TASK, NAME = "task", "name"
COUNTERS = "num_batches_tracked"  # of batch normalization; no network uses them
WEIGHTS = "weights"  # the one array of a message
HEADER_BYTES = 1024  # of a .npy file, at most

Shapes = Mapping[str, tuple[int, ...]]
"""The shape of each tensor of a message, by name, in their order in the array."""


def batch_norm_names(network: nn.Module) -> tuple[str, ...]:
    """The tensors of batch normalization: scales, shifts, means and variances.

    Args:
        network: The network.

    Returns:
        Their names in the state dict.
    """
    layers = [name for name, layer in network.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    return tuple(f"{layer}.{name}" for layer in layers for name in ("weight", "bias", "running_mean", "running_var"))


def shared_names(network: nn.Module, local_batch_norm: bool) -> tuple[str, ...]:
    """The tensors that server and clients exchange.

    Args:
        network: The network.
        local_batch_norm: Whether each client keeps its batch normalization.

    Returns:
        Their names, in the order of the state dict.
    """
    kept = set(batch_norm_names(network)) if local_batch_norm else set()
    return tuple(name for name in network.state_dict() if name not in kept and not name.endswith(COUNTERS))


def shapes_of(weights: Mapping[str, Tensor], names: Collection[str]) -> Shapes:
    """The shapes of tensors.

    Args:
        weights: Tensors by name.
        names: Those that are asked for.

    Returns:
        Their shapes, in the order of the names.
    """
    return {name: tuple(weights[name].shape) for name in names}


def packed(weights: Mapping[str, Tensor], names: Collection[str]) -> ArrayRecord:
    """Packs tensors for a message: one array with all tensors, one after the other.

    Flower takes some requests for each array. With an array for each tensor, a round would take a minute.

    Args:
        weights: float32 tensors by name.
        names: Those to pack, in this order.

    Returns:
        The array, on the CPU.
    """
    flat = torch.cat([weights[name].detach().flatten().cpu() for name in names])
    return ArrayRecord({WEIGHTS: Array(flat.numpy())})


def unpacked(arrays: ArrayRecord, shapes: Shapes) -> dict[str, Tensor]:
    """Unpacks the tensors of a message.

    Args:
        arrays: The array; `weights_fault` has found nothing wrong with it.
        shapes: The shapes of the tensors, in the order in which they were packed.

    Returns:
        Tensors by name.
    """
    return _split(arrays[WEIGHTS].numpy(), shapes)


def _split(flat: np.ndarray, shapes: Shapes) -> dict[str, Tensor]:
    ends = np.cumsum([prod(shape) for shape in shapes.values()])
    parts = zip(shapes.items(), np.split(flat, ends[:-1]), strict=True)
    return {name: torch.from_numpy(part.reshape(shape).copy()) for (name, shape), part in parts}


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
        Bytes.
    """
    return sum(len(array.data) for array in arrays.values())


@dataclass(frozen=True)
class Expected:
    """What a client's update must look like.

    Attributes:
        shapes: The shapes of its tensors.
        images: How many training images each client has said it has, by its name.
    """

    shapes: Shapes
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
        return weights_fault(arrays, self.shapes)


def is_plain(value: object) -> bool:
    """Whether a figure is a finite number.

    Args:
        value: The figure.

    Returns:
        True or false.
    """
    return isinstance(value, int | float) and isfinite(value)


def weights_fault(arrays: ArrayRecord, shapes: Shapes) -> str | None:
    """Says what is wrong with the weights of a message.

    Args:
        arrays: The arrays of the message. They are read only when they are no larger than they should be.
        shapes: The shapes that the tensors should have.

    Returns:
        A text for people; None for sound weights.
    """
    if set(arrays) != {WEIGHTS}:
        return f"the arrays are {', '.join(sorted(arrays))[:80] or 'none'}, not {WEIGHTS}"
    array, count = arrays[WEIGHTS], sum(map(prod, shapes.values()))
    if len(array.data) > 4 * count + HEADER_BYTES:
        return f"the weights have {len(array.data)} bytes in place of {4 * count}"
    try:
        found = array.numpy()
    except Exception as error:  # numpy raises many kinds for a damaged file
        return f"the weights cannot be read ({type(error).__name__})"
    if not isinstance(found, np.ndarray) or (found.shape, found.dtype) != ((count,), np.float32):
        there = f"{getattr(found, 'shape', '?')} {getattr(found, 'dtype', '?')}"
        return f"the weights are {there}, not {count} numbers in float32"
    for name, tensor in _split(found, shapes).items():
        if not tensor.isfinite().all():
            return f"{name} has numbers that are not finite (NaN or infinite)"
        if name.endswith("running_var") and (tensor < 0).any():
            return f"{name} has variances below 0"
    return None
