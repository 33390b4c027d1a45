"""Processes that work on one study: each shows that it is alive, and the candidate of one that died is tried again.

Optuna's own heartbeat serves its database storage alone; this one works on the journal file and the gRPC proxy too.
A worker counts up an attribute of the study; a worker whose count another one has not seen move for LOST_SECONDS
by its own clock is lost. On its own machine it need not wait: a process that is gone is lost.
"""

import contextlib
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from secrets import token_hex
from types import TracebackType

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

BEAT_SECONDS, LOST_SECONDS = 5.0, 60.0
OWNER, RETRIES = "worker", "retries"  # user attributes of a trial
MOST_RETRIES = 2  # a candidate that takes three workers down is given up


@dataclass
class Worker:
    """This process's part in a study; a context, while which its heart beats. `index` tells a machine's workers
    apart, so that no two draw from the same seed."""

    study: optuna.Study
    index: int = 0
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{token_hex(4)}")
    _seen: dict[str, tuple[object, float]] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Worker":
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        count = 0
        while not self._ended.wait(0 if count == 0 else BEAT_SECONDS):
            count += 1
            # a storage out of reach for a moment: the next beat may get through
            with contextlib.suppress(Exception):
                self.study.set_user_attr(f"alive {self.name}", count)

    def take(self, trial: Trial) -> Trial:
        """Puts this worker's name on a candidate."""
        trial.set_user_attr(OWNER, self.name)
        return trial

    def abandoned(self) -> list[Trial]:
        """Candidates that processes of this machine left when they died, to be gone on with as they are. Only for
        the one process that starts a run again."""
        return [
            self.take(Trial(self.study, trial._trial_id))
            for trial in self._running()
            if _is_gone(trial.user_attrs.get(OWNER, ""))
        ]

    def retry_lost(self) -> int:
        """Gives the candidates of lost workers back to the queue, each once; returns how many."""
        retried = 0
        for trial in self._running():
            owner = trial.user_attrs.get(OWNER)
            if owner == self.name or not self._is_lost(owner or f"trial {trial.number}", owner is None):
                continue
            with contextlib.suppress(ValueError, optuna.exceptions.UpdateFinishedTrialError):
                self.study.tell(trial.number, state=TrialState.FAIL)  # of several workers only one gets through
                retried += _queue_again(self.study, trial)
        return retried

    def _running(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _is_lost(self, owner: str, nameless: bool) -> bool:
        if not nameless and _is_gone(owner):
            return True
        beat = None if nameless else self.study.user_attrs.get(f"alive {owner}")
        now = time.monotonic()
        if owner not in self._seen or self._seen[owner][0] != beat:
            self._seen[owner] = (beat, now)
        return now - self._seen[owner][1] > LOST_SECONDS


def _is_gone(owner: str) -> bool:
    """Whether another worker was a process of this machine that is no more, or an earlier one of this process."""
    host, _, rest = owner.partition(":")
    process = rest.partition(":")[0]
    if host != socket.gethostname() or not process.isdigit():
        return False
    if int(process) == os.getpid():
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _queue_again(study: optuna.Study, lost: FrozenTrial) -> bool:
    retries = lost.user_attrs.get(RETRIES, 0)
    if retries >= MOST_RETRIES:
        return False
    kept = {name: value for name, value in lost.user_attrs.items() if name != OWNER}
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING,
            params=lost.params,
            distributions=lost.distributions,
            user_attrs={**kept, RETRIES: retries + 1},
            system_attrs=lost.system_attrs,  # its constraints among them
        )
    )
    return True
