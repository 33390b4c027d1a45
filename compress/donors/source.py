"""What `--weights` names: a donor, a file, or nothing. Nothing here imports torch."""

from dataclasses import dataclass
from pathlib import Path

from compress.donors.catalogue import DEFAULT_DONOR, DONORS, Donor, donor_file
from compress.files.home import expand_home
from search_spaces.errors import InputError

IMAGENET, NONE = "imagenet", "none"
WEIGHTS_NAMES = (IMAGENET, NONE, *DONORS)  # that --weights takes beside a file


@dataclass(frozen=True)
class WeightsSource:
    """Where initial weights come from.

    Attributes:
        file: The file of the weights.
        donor: The donor that they belong to; None for a file of the user's.
    """

    file: Path
    donor: Donor | None = None

    def __str__(self) -> str:
        return self.donor.name if self.donor else str(self.file)


def initial_weights_source(value: str) -> WeightsSource | None:
    """Reads the value of `--weights`.

    Args:
        value: `imagenet` for the default donor, the name of a donor, `none` or nothing for random weights, or the path
            of a file.

    Returns:
        Where the weights come from; None for random weights.

    Raises:
        InputError: The donor's package is not installed, or there is no such file.
    """
    if value in ("", NONE):
        return None
    donor = DONORS.get(DEFAULT_DONOR if value == IMAGENET else value)
    if donor is not None:
        return WeightsSource(donor_file(donor), donor)
    path = Path(expand_home(value))
    if not path.is_file():
        raise InputError(
            f"--weights {value}: there is no such file; give {IMAGENET}, {NONE}, {', '.join(DONORS)}, or the path of a "
            "network.pt, .safetensors or torch file"
        )
    return WeightsSource(path)
