"""Weights of the user's to start from (`--weights FILE`), matched by the names and shapes of tensors.

FILE is a network.pt or teacher.pt of any run, or a .safetensors or torch file of named tensors. What a name has before
`layers.` does not matter. Where the network is a subnet of the file's (as candidates are of a search's teacher.pt),
wider tensors give it its slices, as in a supernet.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nas.supernet import Supernet
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network
from search_spaces.ops import CLASSIFIER

LAYERS_PREFIX = "layers."  # of the tensors of `search_spaces.network.Network`
NESTED_KEYS = ("weights", "state_dict", "model")  # where files keep their tensors, if not outermost


@dataclass(frozen=True)
class InitialWeights:
    """The tensors of a file.

    Attributes:
        file: The file, for messages.
        tensors: Its tensors by name; what stood before `layers.` is cut off.
        genotype: The network they are of, where the file says so.
    """

    file: str
    tensors: Mapping[str, Tensor]
    genotype: Genotype | None = None

    def fitting(self, network: Network) -> dict[str, Tensor]:
        """Selects the tensors that a network can take.

        Args:
            network: The network.

        Returns:
            The tensors, or slices of them, that have the name and the shape of one of the network's.

        Raises:
            InputError: No tensor fits.
        """
        found = {**self.tensors, **self._slices(network)}
        own = network.state_dict()
        fits = {name: found[name] for name in own if name in found and found[name].shape == own[name].shape}
        if not fits:
            raise InputError(
                f"--weights {self.file}: none of its {len(self.tensors)} tensors fits by name and shape; "
                "give a network.pt of this space"
            )
        return fits

    def _slices(self, network: Network) -> dict[str, Tensor]:
        if self.genotype is None or self.genotype.space != network.genotype.space:
            return {}
        source = Supernet(self.genotype)
        try:
            source.shared.load_state_dict(dict(self.tensors))
            slices = source.sliced(network.genotype)
        except (KeyError, RuntimeError):  # the network has an op that the file's lacks or has narrower
            return {}
        if self.genotype.classes != network.genotype.classes:  # the first classes of others mean nothing
            slices = {name: value for name, value in slices.items() if CLASSIFIER not in name}
        return {name: value.detach() for name, value in slices.items()}

    def start(self, network: Network) -> None:
        """Copies the tensors that fit into a network. The others of the network stay as they are.

        Args:
            network: The network.

        Raises:
            InputError: No tensor fits.
        """
        network.load_state_dict(self.fitting(network), strict=False)

    def summary(self, genotype: Genotype) -> str:
        """Counts the tensors that a network takes.

        Args:
            genotype: The largest network of the search.

        Returns:
            A line for the user.

        Raises:
            InputError: No tensor fits.
        """
        network = Network(genotype)
        fits, own = self.fitting(network), network.state_dict()
        unused = sum(name not in fits for name in self.tensors)
        return (
            f"--weights {self.file}: {len(fits)} of the largest network's {len(own)} tensors start from it, "
            f"{len(own) - len(fits)} at random; {unused} of the file's are left"
        )


def read_initial_weights(file: str) -> InitialWeights:
    """Reads the file of `--weights`.

    Args:
        file: A network.pt, .safetensors or torch file.

    Returns:
        Its tensors.

    Raises:
        InputError: The file is missing or broken, holds anything but tensors and plain values, or has a value that is
            not finite.
    """
    path = Path(file)
    if not path.is_file():
        raise InputError(f"--weights {file}: there is no such file; give a network.pt, .safetensors or torch file")
    try:
        stored: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, weights_only=True, map_location="cpu")
        )
    except SafetensorError as error:
        raise InputError(f"--weights {file}: no whole safetensors file ({error}); save it again") from error
    except Exception as error:  # torch.load raises many kinds for a damaged file or a pickle of objects
        raise InputError(
            f"--weights {file}: not a file of tensors alone ({type(error).__name__}); save a state_dict() with "
            "torch.save or as .safetensors"
        ) from error
    stored = stored if isinstance(stored, Mapping) else {}
    inner = next((stored[key] for key in NESTED_KEYS if isinstance(stored.get(key), Mapping)), stored)
    tensors = {
        str(name)[max(0, str(name).find(LAYERS_PREFIX)) :]: x for name, x in inner.items() if isinstance(x, Tensor)
    }
    bad = first_not_finite(tensors)
    if bad:
        raise InputError(
            f"--weights {file}: tensor {bad} has values that are not finite (NaN or infinite): its training diverged; "
            "give another file"
        )
    try:
        genotype = Genotype.from_dict(json.loads(stored["genotype"])) if "genotype" in stored else None
    except (KeyError, TypeError, ValueError):
        genotype = None  # of another version: names and shapes still say what fits
    return InitialWeights(file, tensors, genotype)


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Looks for NaN and infinite values.

    Args:
        tensors: Tensors by name.

    Returns:
        The name of the first tensor that has one; None when all values are finite.
    """
    return next((n for n, x in tensors.items() if x.is_floating_point() and not torch.isfinite(x).all()), None)
