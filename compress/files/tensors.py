"""Tensors and networks in files that hold nothing else: no pickled objects."""

import io
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compress.files.atomic import write_atomically
from compress.files.records import parse_json
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network

GENOTYPE, WEIGHTS = "genotype", "weights"
REMEDY = "delete it and run its stage again"


def save_tensors(value: Mapping[str, Any], path: Path) -> None:
    """Writes tensors and plain values as a whole or not at all.

    Args:
        value: Tensors, numbers, texts, and lists and dictionaries of them, by name.
        path: The file to replace.

    Raises:
        InputError: When the system refuses to write, as on a full disk.
    """
    content = io.BytesIO()  # torch hides the system's reason when it writes into a full disk itself
    torch.save(dict(value), content)
    write_atomically(path, content.getbuffer())


def load_tensors(path: Path, names: Collection[str] = ()) -> dict[str, Any]:
    """Reads what `save_tensors` wrote. Nothing in the file is run as code.

    Args:
        path: The file.
        names: The entries that the file must have.

    Returns:
        The entries by name, on the CPU.

    Raises:
        InputError: When the file is missing, is broken, holds anything but tensors and plain values, lacks an entry,
            or has numbers that are not finite.
    """
    try:
        value = torch.load(path, weights_only=True, map_location="cpu")
        fault = _fault_of(value)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; run the stage that makes it first") from None
    except Exception as error:  # torch.load raises many kinds for a damaged file
        raise InputError(f"{path} cannot be loaded ({type(error).__name__}); {REMEDY}") from error
    if fault is None and not isinstance(value, dict):
        fault = f"it holds a {type(value).__name__} in place of named entries"
    missing = [] if fault else [name for name in names if name not in value]
    if fault or missing:
        raise InputError(f"{path} cannot be used ({fault or 'it lacks ' + ', '.join(missing)}); {REMEDY}")
    return dict(value)


def _fault_of(value: Any, name: str = "") -> str | None:
    """Says what is wrong with a loaded value: numbers that are not finite, or a tensor larger than its own bytes."""
    if isinstance(value, Tensor):
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            return f"{name} is larger than the file holds"
        if not bool(torch.isfinite(value).all()):
            return f"{name} has numbers that are not finite"
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    faults = (_fault_of(part, f"{name}.{key}".lstrip(".")[:80]) for key, part in inner)
    return next((fault for fault in faults if fault), None)


def save_network(network: Network, path: Path, **facts: object) -> None:
    """Writes the genotype and the weights of a network into one file.

    Args:
        network: The network.
        path: The file to replace.
        facts: Plain JSON values that are kept beside them.

    Raises:
        InputError: When the system refuses to write, as on a full disk.
    """
    texts = {name: json.dumps(value) for name, value in {**facts, GENOTYPE: network.genotype.to_dict()}.items()}
    save_tensors({**texts, WEIGHTS: network.state_dict()}, path)


def load_network(path: Path) -> Network:
    """Reads the network that `save_network` wrote.

    Args:
        path: The file.

    Returns:
        The network in eval mode, on the CPU.

    Raises:
        InputError: For any file that `save_network` did not write.
    """
    return load_network_and_facts(path)[0]


def load_network_and_facts(path: Path, *names: str) -> tuple[Network, dict[str, Any]]:
    """Reads a network and the facts that `save_network` kept beside it.

    Args:
        path: The file.
        names: The facts to read.

    Returns:
        The network in eval mode, on the CPU; and the facts by name.

    Raises:
        InputError: When the file was not written by `save_network`, or lacks one of the facts.
    """
    stored = load_tensors(path, (GENOTYPE, WEIGHTS, *names))
    try:
        genotype = Genotype.from_dict(_text_value(stored, GENOTYPE, path, dict))
        with torch.device("meta"):  # no memory is taken before the file is known to fit
            expected = Network(genotype).state_dict()
        check_weights(expected, stored[WEIGHTS], path)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise InputError(f"{path} is not a network of this version ({error}); {REMEDY}") from error
    network = Network(genotype)
    network.load_state_dict(stored[WEIGHTS])
    return network.eval(), {name: _text_value(stored, name, path) for name in names}


def _text_value(stored: Mapping[str, Any], name: str, path: Path, kind: type | None = None) -> Any:
    """The value of an entry that is kept as JSON text."""
    return parse_json(str(stored[name]), f"{path}: {name}", REMEDY, kind)


def check_weights(expected: Mapping[str, Tensor], found: Any, path: Path) -> None:
    """Compares loaded weights with those of the module that will take them.

    Args:
        expected: The state dict of the module. Its tensors may be on the meta device.
        found: What a file holds as its state dict.
        path: The file, for the message.

    Raises:
        InputError: When a name, a shape or a type of number differs.
    """
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError(f"{path} does not hold weights by name; {REMEDY}")
    if lacking := [name for name in expected if name not in found]:
        raise InputError(f"{path} lacks {len(lacking)} tensors, {lacking[0]} first; {REMEDY}")
    if unknown := [str(name) for name in found if name not in expected]:
        raise InputError(f"{path} has {len(unknown)} tensors too many, {unknown[0][:80]} first; {REMEDY}")
    for name, own in expected.items():
        if (found[name].shape, found[name].dtype) != (own.shape, own.dtype):
            wanted, got = (f"{tuple(value.shape)} {value.dtype}" for value in (own, found[name]))
            raise InputError(f"{path}: {name} must be {wanted}, not {got}; {REMEDY}")
