"""genotype.json: one genotype in a file."""

from pathlib import Path

from compress.files.records import read_json
from search_spaces import get_space
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype


def read_genotype(path: Path, remedy: str) -> Genotype:
    """Reads a genotype.json.

    Args:
        path: The file.
        remedy: What the user does when the file is missing or damaged.

    Returns:
        The genotype.

    Raises:
        InputError: When the file is missing or holds no genotype of a known space. The message names the file and the
            remedy.
    """
    value = read_json(path, remedy, dict)
    try:
        genotype = Genotype.from_dict(value)
        get_space(genotype.space)
    except (InputError, TypeError) as error:  # TypeError: a space that is no text
        raise InputError(f"{path} holds no genotype of this version ({error}); {remedy}") from error
    return genotype
