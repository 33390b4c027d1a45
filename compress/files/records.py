"""JSON files of a run folder."""

import json
from pathlib import Path
from typing import Any

from compress.files.atomic import write_atomically
from search_spaces.errors import InputError


def write_json(path: Path, value: object) -> None:
    write_atomically(path, (json.dumps(value, indent=1) + "\n").encode())


def read_json(path: Path, remedy: str) -> Any:
    """Raises InputError that names the file and the remedy when it is missing or broken."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path} is missing; {remedy}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); {remedy}") from error
