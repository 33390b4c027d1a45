"""A Linux board reached by ssh: `compress/latency/timing.py` is copied there and answers requests over the connection.

The board needs python3 with ai-edge-litert (`pip install ai-edge-litert`) and a key that logs in without a password.
"""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any

from compress.latency import timing
from compress.latency.timing import Timed
from search_spaces.errors import InputError


class Board:
    """Raises InputError when it cannot be reached or lacks the runtime."""

    def __init__(self, destination: str, reference: Sequence[bytes]) -> None:
        self.destination = destination
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the connection)
        login, _, port = destination.partition(":")
        ssh = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", *(["-p", port] if port else []), "--", login]
        copy = f"/tmp/{timing.COPY}{token_hex(8)}.py"
        try:
            # noclobber: a file that somebody put there before us is not written through
            subprocess.run(
                [*ssh, f"umask 077; set -C; cat > {copy}"],
                input=Path(timing.__file__).read_bytes(),
                stderr=self.errors,
                check=True,
            )
            self.process = subprocess.Popen(
                [*ssh, f"exec python3 {copy}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise self._failure() from error
        self.facts: dict[str, str] = self._ask({}, reference)["facts"]

    def time(self, models: Sequence[bytes], seconds: float, threads: int) -> tuple[list[Timed], float]:
        answer = self._ask({"seconds": seconds, "threads": threads}, models)
        return [Timed(**timed) for timed in answer["timed"]], answer["fastest_ms"]

    def _ask(self, header: dict[str, Any], models: Sequence[bytes]) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        try:
            timing.send(self.process.stdin, header, models)
            answer = timing.receive(self.process.stdout)
        except (OSError, ValueError) as error:
            raise self._failure() from error
        if answer is None:
            raise self._failure()
        return answer[0]

    def _failure(self) -> InputError:
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip().splitlines() or ["no answer"]
        return InputError(
            f"--target ssh:{self.destination}: {said[-1]}; this must work without a password: "
            f"ssh {self.destination.partition(':')[0]} python3 -c 'import ai_edge_litert'"
        )
