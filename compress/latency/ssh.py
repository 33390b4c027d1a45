"""A Linux board reached by ssh.

`timing.py`, `device_facts.py` and `energy_meter.py` of this folder are sent over the connection and run there, so no
file is written on the board. The board needs python3 (3.9 or newer) with ai-edge-litert (`pip install ai-edge-litert`)
and a key that logs in without a password.
"""

import contextlib
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compress.latency import device_facts, energy_meter, timing
from compress.latency.drift import Drift
from compress.latency.timing import Timed
from search_spaces.errors import InputError

START_TIMEOUT_S = 180.0  # a slow board imports the runtime and runs the reference
TIMEOUT_FACTOR = 60  # a measurement may take so many times its seconds, on a slow board with large models
# ssh ends a connection whose other side has been gone for 90 s
KEEPALIVE = ("-o", "ServerAliveInterval=30", "-o", "ServerAliveCountMax=3")
SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", *KEEPALIVE)


class Board:
    """A connection to a board, on which `timing.serve` runs.

    Args:
        destination: USER@HOST or USER@HOST:PORT.
        reference: The parts of the reference, as .tflite files.

    Raises:
        InputError: The board cannot be reached, or lacks the runtime.
    """

    def __init__(self, destination: str, reference: Sequence[bytes]) -> None:
        self.destination = destination
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the connection)
        login, _, port = destination.partition(":")
        sources = [Path(str(module.__file__)).read_bytes() for module in (device_facts, energy_meter, timing)]
        reads = "; ".join(f"exec(sys.stdin.buffer.read({len(source)}))" for source in sources)
        told = '{"facts": facts(), "cores": described_cores()}'
        program = f"exec python3 -c 'import sys; {reads}; serve({told}, conditions, answer_energy)'"
        try:
            self.process = subprocess.Popen(
                [*SSH, *(["-p", port] if port else []), "--", login, program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
            )
        except OSError as error:
            raise InputError(f"--target ssh:{destination}: {error}; is the ssh client installed?") from error
        answer = self._ask({}, reference, START_TIMEOUT_S, b"".join(sources))
        self.facts: dict[str, str] = {str(name): str(value) for name, value in answer["facts"].items()}
        self.cores: list[list[int]] = answer["cores"]
        self.drift = Drift()

    def time(
        self, models: Sequence[bytes], seconds: float, threads: int, cores: Sequence[int]
    ) -> tuple[list[Timed], float]:
        """Times models in turns. A line is printed when the board's clock falls or it warms up.

        Args:
            models: The content of .tflite files.
            seconds: For about so long each model runs.
            threads: Threads of the runtime.
            cores: The numbers of the cores to run on.

        Returns:
            The timing of each model, and the undisturbed time of the reference in ms.

        Raises:
            InputError: The connection broke.
        """
        limit = START_TIMEOUT_S + TIMEOUT_FACTOR * max(1.0, seconds) * len(models)
        answer = self._ask({"seconds": seconds, "threads": threads, "cores": list(cores)}, models, limit)
        self.drift.tell(answer["conditions"], f"ssh:{self.destination}")
        return [Timed(**timed) for timed in answer["timed"]], float(answer["fastest_ms"])

    def energies(
        self, models: Sequence[bytes], seconds: float, threads: int, cores: Sequence[int], sensor: str
    ) -> dict[str, Any]:
        """Measures the energy of models.

        Args:
            models: The content of .tflite files.
            seconds: For about so long each model runs, several times.
            threads: Threads of the runtime.
            cores: The numbers of the cores to run on.
            sensor: The path of the sensor on the board; "" for the processor's own.

        Returns:
            See `compress.latency.energy_meter.answer_energy`.

        Raises:
            InputError: The connection broke.
        """
        limit = START_TIMEOUT_S + TIMEOUT_FACTOR * max(1.0, seconds) * (len(models) + 1)
        header = {"seconds": seconds, "threads": threads, "cores": list(cores), "sensor": sensor}
        return self._ask(header, models, limit)

    def close(self) -> None:
        """Ends the connection, and with it the program on the board."""
        self._end()
        with contextlib.suppress(OSError):  # what was not sent yet cannot be
            assert self.process.stdin
            self.process.stdin.close()
        assert self.process.stdout
        self.process.stdout.close()
        self.errors.close()

    def _end(self) -> None:
        self.process.kill()
        self.process.wait()

    def _ask(
        self, header: dict[str, Any], models: Sequence[bytes], limit_s: float, before: bytes = b""
    ) -> dict[str, Any]:
        """Sends a message and returns the header of the answer."""
        assert self.process.stdin and self.process.stdout
        too_late = threading.Event()

        def end() -> None:
            too_late.set()
            self.process.kill()

        timer = threading.Timer(limit_s, end)
        timer.daemon = True
        timer.start()
        try:
            self.process.stdin.write(before)
            timing.send(self.process.stdin, header, models)
            answer = timing.receive(self.process.stdout)
        except (OSError, ValueError, KeyError, TypeError):
            answer = None
        finally:
            timer.cancel()
        if answer is None:
            raise self._failure(f"no answer within {limit_s:.0f} s" if too_late.is_set() else "")
        return answer[0]

    def _failure(self, reason: str) -> InputError:
        """The error to raise: the reason, or else the last line that ssh or the board wrote on standard error."""
        self._end()
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        self.close()
        login, _, port = self.destination.partition(":")
        login = f"-p {port} {login}" if port else login
        return InputError(
            f"--target ssh:{self.destination}: {reason or (lines or ['no answer'])[-1]}; this must work without a "
            f"password: ssh {login} python3 -c \"'import ai_edge_litert'\""
        )
