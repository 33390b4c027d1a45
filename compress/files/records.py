"""JSON files of a run folder: read with one clear error, written whole, with a checksum where they are records."""

import hashlib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from compress.files.atomic import write_atomically
from search_spaces.errors import InputError

CHECKSUM = "checksum"
MAX_INTEGER = 2**63  # JSON has no largest integer; databases and tensors have
KINDS_OF_JSON = {dict: "an object", list: "a list", str: "a text", float: "a number"}


def write_json(path: Path, value: object) -> None:
    """Writes a JSON file as a whole or not at all.

    Args:
        path: The file to replace.
        value: Plain JSON values.

    Raises:
        InputError: When the system refuses to write.
    """
    write_atomically(path, (json.dumps(value, indent=1) + "\n").encode())


def read_json(path: Path, remedy: str, kind: type | None = None) -> Any:
    """Reads a JSON file.

    Args:
        path: The file.
        remedy: What the user does when the file is missing or damaged.
        kind: The type that the whole must have, such as dict or list. None allows any.

    Returns:
        The value of the file.

    Raises:
        InputError: When the file is missing, is not JSON, has duplicate keys or is of another kind. The message
            names the file and the remedy.
    """
    return parse_json(read_content(path, remedy), str(path), remedy, kind)


def read_content(path: Path, remedy: str) -> bytes:
    """Reads the bytes of a file.

    Args:
        path: The file.
        remedy: What the user does when the file cannot be read.

    Returns:
        Its bytes.

    Raises:
        InputError: When the file is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} is missing; {remedy}") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
        raise InputError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}); {remedy}") from error


def parse_json(content: bytes | str, name: str, remedy: str, kind: type | None = None) -> Any:
    """Parses JSON strictly.

    Args:
        content: UTF-8 bytes, with or without a byte order mark, or text.
        name: The file, as errors name it.
        remedy: What the user does when the content is damaged.
        kind: The type that the whole must have. None allows any.

    Returns:
        The value.

    Raises:
        InputError: When the content is not JSON, nests too deep, has duplicate keys, has numbers beyond 64 bits, or
            is of another kind.
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content.removeprefix("\ufeff")
        value = json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_float=_real)
        if "\\u" in text:
            _check_texts(value)
    except RecursionError:
        _refuse(name, "it nests too deep", remedy)
    except ValueError as error:
        _refuse(name, str(error), remedy)
    if kind is not None and not isinstance(value, (int, float) if kind is float else kind):
        _refuse(name, f"it must hold {KINDS_OF_JSON.get(kind, kind.__name__)}", remedy)
    return value


def _refuse(name: str, why: str, remedy: str) -> NoReturn:
    raise InputError(f"{name} cannot be read ({why}); {remedy}")


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in pairs:
        if key in value:
            raise ValueError(f"the key {key[:40]!r} stands twice")
        value[key] = item
    return value


def _integer(text: str) -> int:
    if len(text) > 20 or abs(int(text)) >= MAX_INTEGER:
        raise ValueError(f"the number {text[:20]}... is too large")
    return int(text)


def _real(text: str) -> float:
    if math.isinf(float(text)):
        raise ValueError(f"the number {text[:20]} is too large")
    return float(text)


def _check_texts(value: Any) -> None:
    """Refuses characters that neither a file name nor a terminal takes: half a surrogate pair, and NUL."""
    if isinstance(value, str):
        value.encode()
        if "\0" in value:
            raise ValueError("a text holds a NUL character")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_texts(key)
            _check_texts(item)
    elif isinstance(value, list):
        for item in value:
            _check_texts(item)


def write_record(path: Path, value: dict[str, Any]) -> None:
    """Writes a JSON object together with a checksum of it.

    Args:
        path: The file to replace.
        value: Plain JSON values by name; the name "checksum" is taken.

    Raises:
        InputError: When the system refuses to write.
    """
    write_json(path, {**value, CHECKSUM: record_checksum(value)})


def read_record(path: Path, remedy: str) -> dict[str, Any]:
    """Reads a JSON object that `write_record` wrote. A file of an older version, without a checksum, is read as well.

    Args:
        path: The file.
        remedy: What the user does when the file is missing or damaged.

    Returns:
        The object without its checksum.

    Raises:
        InputError: When the file is missing, is not a JSON object, or does not fit its checksum.
    """
    value: dict[str, Any] = read_json(path, remedy, dict)
    if CHECKSUM in value and value.pop(CHECKSUM) != record_checksum(value):
        raise InputError(f"{path} does not fit its checksum: it was damaged or changed by hand; {remedy}")
    return value


def record_checksum(value: dict[str, Any]) -> str:
    """Computes the checksum of a record. The order of keys and the spacing do not matter.

    Args:
        value: Plain JSON values by name, without the checksum.

    Returns:
        16 hexadecimal digits.
    """
    plain = json.loads(json.dumps(value))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]
