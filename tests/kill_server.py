"""python tests/kill_server.py: runs `nas.search` in forks of one process and kills them at a chosen instant.

An instant is the moment before a file is opened for writing, renamed or deleted, a folder made, or a statement sent to
the study's database. The instants of a run are counted, so that each can be hit on purpose: all writes, the table's
build, the candidate loop between two parameters, the finalists. The target is one on which a model takes a time by its
size, so an uninterrupted run and one that was killed are equal byte for byte.

Each line of stdin is a JSON object: `folder`, `arguments`, `kill_at` (0: never), `log`. Each line of stdout answers
one: `status` (exit code; -9 when it was killed) and `instants` (counted until the end; 0 when it was killed).
"""

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")


class Instants:
    """Counts instants, and kills the process at one of them."""

    def __init__(self, kill_at: int, folder: Path) -> None:
        self.kill_at, self.folder, self.count = kill_at, str(folder), 0

    def reached(self) -> None:
        self.count += 1
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
            if not writes or not isinstance(path, str | bytes | os.PathLike):
                return
        elif event in CHANGES:
            path = arguments[0]
        else:
            return
        if str(Path(os.fsdecode(path)).absolute()).startswith(self.folder):
            self.reached()


def run_search(folder: Path, arguments: Sequence[str], kill_at: int) -> None:
    """In the fork: the command, with a target without noise and a brief table."""
    from sqlalchemy import Engine, event
    from stage_runs import BySize, hasten_tables

    import nas.search
    from compress.latency import repeats
    from compress.latency.targets import HostTarget
    from compress.stages.cli import run_command

    hasten_tables(setattr)
    repeats.SAVE_SECONDS = 0.0  # a table that is being built is saved at every turn
    HostTarget.time = lambda self, models, seconds: BySize(reference_ms=1.0).time(models, seconds)  # type: ignore
    os.chdir(folder)
    instants = Instants(kill_at, folder)
    ours = os.getpid()  # not the processes that load images

    def statement(*unused: object) -> None:
        if os.getpid() == ours:
            instants.reached()

    event.listen(Engine, "before_cursor_execute", statement)
    sys.addaudithook(lambda name, given: instants.audit(name, given) if os.getpid() == ours else None)
    sys.argv = ["nas.search", *arguments]
    try:
        run_command(nas.search.main)
    finally:
        Path("instants").write_text(str(instants.count))


def main() -> None:
    import nas.job  # noqa: F401  imported once, for all forks

    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        folder = Path(asked["folder"])
        (folder / "instants").unlink(missing_ok=True)
        process = os.fork()
        if not process:
            with Path(asked["log"]).open("ab") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            code = 1
            try:
                run_search(folder, asked["arguments"], asked["kill_at"])
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 1
            finally:
                sys.stdout.flush()
                os._exit(code)
        _, status = os.waitpid(process, 0)
        counted = folder / "instants"
        answer = {"status": os.waitstatus_to_exitcode(status), "instants": 0}
        if counted.exists():
            answer["instants"] = int(counted.read_text())
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
