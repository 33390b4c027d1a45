"""Work on every file of a data set: in threads, in bounded memory, and not twice."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from compress.files.atomic import RUNS
from compress.files.records import read_json, write_json

Item = TypeVar("Item")
Result = TypeVar("Result")


def scan(work: Callable[[Item], Result], items: Sequence[Item], title: str) -> Iterator[Result]:
    """`work` on every item, in order; only results that the caller has not taken yet are held. On a terminal a bar
    shows how far it is."""
    with ThreadPoolExecutor() as pool:
        results = pool.map(work, items)
        yield from tqdm(results, title, len(items), leave=False, unit="file", dynamic_ncols=True, disable=None)


def remembered(what: str, about: object, files: Iterable[Path], compute: Callable[[], Result]) -> Result:
    """What `compute` finds in the files, as plain JSON values; kept under runs/data until a file, or what `about`
    says of how they are read, changes."""
    path = RUNS / "data" / f"{what}-{state_of(files, about)}.json"
    if not path.exists():
        write_json(path, compute())
    found: Result = read_json(path, "delete it")
    return found


def state_of(files: Iterable[Path], about: object = None) -> str:
    """Changes when a file is added, removed, moved or written to."""
    stats = [(str(path.absolute()), path.stat() if path.exists() else None) for path in files]
    states = [(name, stat.st_size, stat.st_mtime_ns) if stat else name for name, stat in stats]
    return sha256(repr((about, states)).encode()).hexdigest()[:16]
