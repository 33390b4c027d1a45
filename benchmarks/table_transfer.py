"""python benchmarks/table_transfer.py [--other-python PYTHON] [--size N] [--models N]: tables made from those of other
devices, beside tables built from nothing.

The pairs are one and two threads of this machine, int8 on big and on other cores where there are such, and, with
`--other-python`, this Python's LiteRT and that of another environment. The other one is reached as a board: `ssh` is a
script that runs the command here with that Python. Each table is checked on random networks that it was not fitted to.
Prints a table of minutes, measured ops and errors. Needs a quiet machine: some twenty minutes at 256x256.
"""

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from compress.latency.builder import build
from compress.latency.check import check
from compress.latency.spec import TableSpec
from compress.latency.table import LatencyTable
from compress.latency.targets import HostTarget, open_target
from compress.latency.transfer import transfer
from search_spaces import get_space

CLASSES = 8


@contextlib.contextmanager
def other_python(python: str) -> Iterator[None]:
    """Lets `ssh` run its command on this machine with another Python.

    Args:
        python: The path of its interpreter.

    Yields:
        Nothing.
    """
    path = os.environ["PATH"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "python3").symlink_to(Path(python).absolute())
        script = '#!/bin/sh\nfor command; do :; done\nunset PYTHONPATH\nexec sh -c "$command"\n'
        (Path(folder) / "ssh").write_text(script)
        (Path(folder) / "ssh").chmod(0o755)
        os.environ["PATH"] = f"{folder}:{path}"
        try:
            yield
        finally:
            os.environ["PATH"] = path


def row(name: str, spec: TableSpec, make: Callable[[], LatencyTable], models: int) -> str:
    """Makes a table and checks it.

    Args:
        name: What is made.
        spec: What the table is for.
        make: Makes it.
        models: Random networks to check it on.

    Returns:
        A row of the printed table.
    """
    begun = time.monotonic()
    table = make()
    minutes = (time.monotonic() - begun) / 60
    found = check(spec, table, models, seed=3)
    families = table.provenance.get("families_measured", "all")
    return (
        f"| {name} | {minutes:.1f} | {table.provenance['ops']} | {families} | {found['rmspe']:.1%} | "
        f"{found['within_5']:.0%} | {found['kendall_tau']:.3f} |"
    )


def compare(name: str, spec: TableSpec, source: Path, folder: Path, models: int) -> None:
    """Prints the rows of one pair.

    Args:
        name: The new device.
        spec: What its table is for.
        source: The table of the other device.
        folder: Where tables are written.
        models: Random networks to check on.
    """
    short = folder / f"{name}-transferred.json"
    print(row(f"{name}, transferred", spec, lambda: transfer(spec, source, short), models), flush=True)
    print(row(f"{name}, from nothing", spec, lambda: build(spec, folder / f"{name}.json"), models), flush=True)


def main() -> None:
    """Makes and checks the tables."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--other-python", default="", help="an interpreter with another ai-edge-litert")
    flags.add_argument("--size", type=int, default=256, help="side of the input in pixels (default: 256)")
    flags.add_argument("--models", type=int, default=30, help="networks to check on (default: 30)")
    given = flags.parse_args()
    size = (given.size, given.size)

    def spec_of(target: object) -> TableSpec:
        return TableSpec(get_space("deeplabv3plus"), CLASSES, size, "int8", target)  # type: ignore[arg-type]

    print("| table | minutes | ops | families measured | RMSPE | within 5 % | Kendall tau |\n" + "|---" * 7 + "|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        one, two = spec_of(HostTarget(1)), spec_of(HostTarget(2))
        print(row("one thread, from nothing", one, lambda: build(one, folder / "one.json"), given.models), flush=True)
        compare("two threads", two, folder / "one.json", folder, given.models)
        compare("one thread again", one, folder / "two threads.json", folder, given.models)
        if given.other_python:
            with other_python(given.other_python):
                board = spec_of(open_target("ssh:other@here", 1))
                compare("other LiteRT", board, folder / "one.json", folder, given.models)


if __name__ == "__main__":
    main()
