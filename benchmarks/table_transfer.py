"""python benchmarks/table_transfer.py --work DIR [--other-python PYTHON]: tables made from those of other devices.

Devices are one thread and two threads of this machine and, with `--other-python`, one thread of another environment's
LiteRT. That one is reached as a board: `ssh` is a script that runs the command here with the other Python. For each
pair of devices that differ in one of these, tables are transferred with three tolerances, so that few or many ops are
measured. Tables that are built from nothing stand beside them. Each table predicts random networks to which no table
was fitted. They are measured right after the table is made: from hour to hour some networks change more than others.

Prints minutes, measured ops and errors. DIR keeps what is done. Needs a quiet machine: half an hour at 256x256.
"""

import argparse
import contextlib
import os
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from compress.files.records import read_json, write_json
from compress.latency.builder import build
from compress.latency.check import check
from compress.latency.spec import TableSpec
from compress.latency.table import LatencyTable
from compress.latency.targets import HostTarget, open_target
from compress.latency.transfer import TOLERANCE, transfer
from search_spaces import get_space

CLASSES = 8
TOLERANCES = (1.5 * TOLERANCE, TOLERANCE, 0.5 * TOLERANCE)
ONE, TWO, OTHER = "one thread", "two threads", "other LiteRT"
PAIRS = ((ONE, OTHER), (OTHER, ONE), (TWO, ONE), (ONE, TWO))


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
        scripts = {
            "python3": f'#!/bin/sh\nexec {shlex.quote(str(Path(python).absolute()))} "$@"\n',
            "ssh": '#!/bin/sh\nfor command; do :; done\nunset PYTHONPATH\nexec sh -c "$command"\n',
        }
        for name, script in scripts.items():
            (Path(folder) / name).write_text(script)
            (Path(folder) / name).chmod(0o755)
        os.environ["PATH"] = f"{folder}:{path}"
        try:
            yield
        finally:
            os.environ["PATH"] = path


class Comparison:
    """The tables of all devices.

    Attributes:
        folder: Where tables and figures are kept.
        models: Random networks to check on.
    """

    def __init__(self, folder: Path, models: int) -> None:
        self.folder, self.models = folder, models

    def table_file(self, device: str) -> Path:
        """The table of a device that is built from nothing.

        Args:
            device: Its name.

        Returns:
            The file.
        """
        return self.folder / f"{device}.json"

    def row(self, name: str, spec: TableSpec, make: Callable[[], LatencyTable]) -> str:
        """Makes a table and checks it, unless that is done.

        Args:
            name: What is made.
            spec: What the table is for.
            make: Makes it.

        Returns:
            A row of the printed table.
        """
        kept = self.folder / f"{name}.figures"
        if not kept.exists():
            begun = time.monotonic()
            table = make()
            minutes = (time.monotonic() - begun) / 60
            found = check(spec, table, self.models, seed=3)
            families = table.provenance.get("families_measured", "all")
            facts = {"minutes": minutes, "ops": table.provenance["ops"], "families": families}
            write_json(kept, {**facts, **{key: found[key] for key in ("rmspe", "within_5", "kendall_tau")}})
        figures: dict[str, Any] = read_json(kept, "delete it", dict)
        cost = f"{figures['minutes']:.1f} | {figures['ops']} | {figures['families']}"
        return (
            f"| {name} | {cost} | {figures['rmspe']:.1%} | {figures['within_5']:.0%} | {figures['kendall_tau']:.3f} |"
        )

    def run(self, specs: dict[str, TableSpec]) -> None:
        """Makes and checks all tables of these devices.

        Args:
            specs: What the tables are for, by the device's name.
        """
        for device, spec in specs.items():
            path = self.table_file(device)
            print(self.row(f"{device}, from nothing", spec, lambda: build(spec, path)), flush=True)  # noqa: B023
        for source, device in PAIRS:
            for tolerance in TOLERANCES if source in specs and device in specs else ():
                name, spec = f"{device}, from {source}, tolerance {tolerance:.0%}", specs[device]
                new = self.folder / f"{name}.json"
                made = lambda: transfer(spec, self.table_file(source), new, tolerance)  # noqa: B023, E731
                print(self.row(name, spec, made), flush=True)


def main() -> None:
    """Makes and checks the tables."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--work", required=True, type=Path)
    flags.add_argument("--other-python", default="", help="an interpreter with another ai-edge-litert")
    flags.add_argument("--size", type=int, default=256, help="side of the input in pixels (default: 256)")
    flags.add_argument("--models", type=int, default=30, help="networks to check on (default: 30)")
    given = flags.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    size, space = (given.size, given.size), get_space("deeplabv3plus")
    specs = {name: TableSpec(space, CLASSES, size, "int8", HostTarget(n)) for name, n in ((ONE, 1), (TWO, 2))}
    print("| table | minutes | ops | families measured | RMSPE | within 5 % | Kendall tau |\n" + "|---" * 7 + "|")
    with contextlib.ExitStack() as stack:
        if given.other_python:
            stack.enter_context(other_python(given.other_python))
            specs[OTHER] = TableSpec(space, CLASSES, size, "int8", open_target("ssh:other@here", 1))
        Comparison(given.work, given.models).run(specs)


if __name__ == "__main__":
    main()
