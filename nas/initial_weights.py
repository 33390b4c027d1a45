"""Weights of the user's to start from (`--weights FILE`), matched by the names and shapes of tensors.

FILE is a network.pt or teacher.pt of any run, or a .safetensors or torch file of named tensors. What a name has before
`layers.` does not matter. Where the network is a subnet of the file's (as candidates are of a search's teacher.pt),
wider tensors give it its slices, as in a supernet.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from compress.files.weights_files import read_weights_file
from nas.supernet import Supernet
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.network import Network
from search_spaces.ops import CLASSIFIER

STEM = "layers.stem.conv.weight"  # which depends on the number of bands
LAYERS_PREFIX = "layers."  # of the tensors of `search_spaces.network.Network`


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
            slices = source.sliced(replace(network.genotype, bands=self.genotype.bands))
        except (KeyError, RuntimeError):  # the network has an op that the file's lacks or has narrower
            return {}
        if self.genotype.classes != network.genotype.classes:  # the first classes of others mean nothing
            slices = {name: value for name, value in slices.items() if CLASSIFIER not in name}
        if self.genotype.bands != network.genotype.bands:
            slices = {name: value for name, value in slices.items() if name != STEM}
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
    found = read_weights_file(file)
    tensors = {name[max(0, name.find(LAYERS_PREFIX)) :]: x for name, x in found.tensors.items()}
    stored = found.stored
    try:
        genotype = Genotype.from_dict(json.loads(stored["genotype"])) if "genotype" in stored else None
    except (KeyError, TypeError, ValueError):
        genotype = None  # of another version: names and shapes still say what fits
    return InitialWeights(file, tensors, genotype)
