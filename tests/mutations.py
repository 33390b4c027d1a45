"""Damage that accidents, editors and people do to files, drawn from a seed; and what a reader makes of it."""

import json
import math
import random
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search_spaces.errors import DataError, InputError

Mutation = Callable[[bytes, random.Random], bytes | None]  # None puts a folder in the place of the file
Reader = Callable[[Path], Any]

VALUES = (
    None, True, -1, 0, 3.5, -0.5, 1e308, math.nan, math.inf, 10**30, "", "x", "50", "\x00", "../x", [], {}, [[]],
    [1, 2], ["64", 64], {"a": 1},
)  # fmt: skip
DEPTH = 100_000  # of brackets


def flip(content: bytes, rng: random.Random) -> bytes:
    """One to four bits turned."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4)) if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flip_head(content: bytes, rng: random.Random) -> bytes:
    """Two of the first bytes changed, where formats keep what they are."""
    changed = bytearray(content)
    for _ in range(2 if changed else 0):
        changed[rng.randrange(min(len(changed), 64))] = rng.randrange(256)
    return bytes(changed)


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))] if content else content


def insert(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.randbytes(rng.choice((1, 8, 64))) + content[at:]


def zeros(content: bytes, rng: random.Random) -> bytes:
    """A block of zeros, as a disk leaves it."""
    at = rng.randrange(len(content) + 1)
    count = min(len(content) - at, rng.choice((16, 512, 4096)))
    return content[:at] + bytes(count) + content[at + count :]


def empty(content: bytes, rng: random.Random) -> bytes:
    return b""


def garbage(content: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(200)


def folder(content: bytes, rng: random.Random) -> None:
    return None


def marked(content: bytes, rng: random.Random) -> bytes:
    """With a byte order mark."""
    return b"\xef\xbb\xbf" + content


def windows(content: bytes, rng: random.Random) -> bytes:
    return content.replace(b"\n", b"\r\n")


def latin(content: bytes, rng: random.Random) -> bytes:
    letters = [at for at, byte in enumerate(content) if chr(byte).isalpha()] or [0]
    at = rng.choice(letters)
    return content[:at] + b"\xe9" + content[at + 1 :]


def utf16(content: bytes, rng: random.Random) -> bytes:
    return content.decode("utf-8", "replace").encode("utf-16")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values inside a JSON value; of long lists the first ones."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value[:6]) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*path, key))


def at_place(value: Any, path: Sequence[Any], change: Callable[[Any, Any], None], whole: Any) -> Any:
    """Applies `change(container, key)` at a path; `whole` replaces the value where the path is empty."""
    if not path:
        return whole
    container = value
    for key in path[:-1]:
        container = container[key]
    change(container, path[-1])
    return value


def swap(content: bytes, rng: random.Random) -> bytes:
    """Another value, mostly of another type, somewhere."""
    value, new = json.loads(content), rng.choice(VALUES)
    path = rng.choice(list(places(value)))
    return json.dumps(at_place(value, path, lambda inside, key: inside.__setitem__(key, new), new)).encode()


def drop(content: bytes, rng: random.Random) -> bytes:
    """A key or an item that is gone."""
    value = json.loads(content)
    path = rng.choice(list(places(value)))
    return json.dumps(at_place(value, path, lambda inside, key: inside.__delitem__(key), {})).encode()


def add(content: bytes, rng: random.Random) -> bytes:
    value = json.loads(content)
    if isinstance(value, dict):
        value[rng.choice(("extra", "", "__class__", "self"))] = rng.choice(VALUES)
    return json.dumps(value).encode()


def twice(content: bytes, rng: random.Random) -> bytes:
    """A key that stands twice."""
    value = json.loads(content)
    if not isinstance(value, dict) or not value:
        return b'{"a": 1, "a": 1}'
    key = rng.choice(list(value))
    return json.dumps(value).encode()[:-1] + f", {json.dumps(key)}: {json.dumps(value[key])}}}".encode()


def deep(content: bytes, rng: random.Random) -> bytes:
    return b"[" * DEPTH + b"]" * DEPTH


def another(content: bytes, rng: random.Random) -> bytes:
    """Another whole value."""
    return rng.choice((b"null", b"[]", b"{}", b"0", b'"text"', b"[{}]", b"true", b"NaN", b"1e999", b"{} {}"))


def of_a_line(mutation: Callable[[bytes, random.Random], bytes]) -> Mutation:
    """A mutation of one line of a file."""

    def mutated(content: bytes, rng: random.Random) -> bytes:
        lines = content.splitlines() or [b""]
        at = rng.randrange(len(lines))
        lines[at] = mutation(lines[at], rng)
        return b"\n".join(lines) + b"\n"

    mutated.__name__ = f"line_{mutation.__name__}"
    return mutated


BYTES: tuple[Mutation, ...] = (flip, cut, flip_head, insert, zeros, empty, garbage, folder, flip, cut)
TEXT: tuple[Mutation, ...] = (*BYTES, marked, windows, latin, utf16, latin)
JSON: tuple[Mutation, ...] = (
    swap, drop, swap, cut, swap, flip, drop, another, swap, insert, swap, add, swap, twice, swap, deep, swap, marked,
    swap, windows, swap, latin, swap, utf16, swap, empty, swap, garbage, swap, folder, swap, zeros,
)  # fmt: skip
LINES: tuple[Mutation, ...] = (
    of_a_line(swap), of_a_line(drop), of_a_line(cut), of_a_line(swap), of_a_line(another), of_a_line(flip), cut, flip,
    of_a_line(swap), of_a_line(twice), of_a_line(deep), of_a_line(swap), empty, garbage, zeros, latin, marked, windows,
    folder,
)  # fmt: skip


@dataclass
class Outcomes:
    """What came of the mutations of one file.

    Attributes:
        named: What a line must name: the file, or the flag that gave it.
        counts: How many were the same bytes, refused in a line, read with the same value, read with another value.
        faults: What must not be: other errors, and lines that do not name the file.
    """

    named: str
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, reader: Reader, file: Path, mutation: str, expected: Any, same_bytes: bool) -> None:
        """Reads a mutated file."""
        self.counts["tried"] += 1
        if same_bytes:
            self.counts["same bytes"] += 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                value = reader(file)
        except InputError as error:
            self.counts["refused in a line"] += 1
            line = str(error)
            if self.named not in line or (len(line.splitlines()) != 1 and not isinstance(error, DataError)):
                self.faults.append(f"{mutation}: not a line that names the file: {line[:300]}")
            if len(line) > 2000:
                self.faults.append(f"{mutation}: a line of {len(line)} characters")
        except Exception as error:
            self.counts["traceback"] += 1
            self.faults.append(f"{mutation}: {type(error).__name__}: {str(error)[:200]} {_where(error)}")
        else:
            self.counts["read as it was" if repr(value) == repr(expected) else "read with another value"] += 1


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def mutate(file: Path, mutation: Mutation, rng: random.Random, whole: bytes) -> bool:
    """Puts a mutation in the place of a file; says whether the bytes are the same."""
    if file.is_dir():
        shutil.rmtree(file)
    file.unlink(missing_ok=True)
    changed = mutation(whole, rng)
    if changed is None:
        file.mkdir()
    else:
        file.write_bytes(changed)
    return changed == whole


def outcomes(
    file: Path, mutations: Sequence[Mutation], reader: Reader, tries: int, seed: str, flag: str = ""
) -> Outcomes:
    """Reads a file after each of `tries` mutations; the file is put back in the end."""
    whole, found = file.read_bytes(), Outcomes(flag or file.name)
    expected = reader(file)
    for number in range(tries):
        mutation = mutations[number % len(mutations)]
        name = f"{mutation.__name__} {number}"
        same = mutate(file, mutation, random.Random(f"{seed} {name}"), whole)
        found.add(reader, file, name, expected, same)
    mutate(file, lambda content, rng: content, random.Random(), whole)
    return found
