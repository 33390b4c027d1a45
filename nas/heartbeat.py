"""Which workers of a study are alive. The candidate of a worker that died is tried again.

Optuna's own heartbeat serves its database storage alone; this one works on the journal file and the gRPC proxy too.
A worker counts up an attribute of the study. Where another worker does not see the count move for LOST_SECONDS by its
own clock, the worker is lost. A process that can be looked up need not be waited for: when it is gone, it is lost.
"""

import contextlib
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from nas.private_interfaces import fixed_params, trial_of
from nas.worker_name import is_gone, new_worker_name

BEAT_SECONDS, LOST_SECONDS = 5.0, 60.0
NAMELESS_SECONDS = 2.0  # a living worker writes its name on a candidate milliseconds after it got it
OWNER, RETRIES = "worker", "retries"  # user attributes of a trial
MAX_RETRIES = 2  # a candidate that takes three workers down is given up


@dataclass
class Worker:
    """This process's part in a study. It is a context in which the heart of the worker beats.

    Attributes:
        study: The study.
        index: Tells the workers of a machine apart, so that no two draw from the same seed.
        name: Tells all workers apart.
    """

    study: optuna.Study
    index: int = 0
    name: str = field(default_factory=new_worker_name)
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
        """Puts this worker's name on a candidate.

        Args:
            trial: The candidate's trial.

        Returns:
            The same trial.
        """
        trial.set_user_attr(OWNER, self.name)
        return trial

    def abandoned(self) -> list[FrozenTrial]:
        """Takes over the candidates that processes of this machine left when they died.

        Only the one process that starts a run again may ask. A candidate that stays without a worker's name for
        NAMELESS_SECONDS is among them: its worker died between the two writes.

        Returns:
            The candidates, oldest first.
        """
        running = self._running()
        if any(OWNER not in trial.user_attrs for trial in running):
            time.sleep(NAMELESS_SECONDS)
            running = self._running()
        left = [t for t in running if OWNER not in t.user_attrs or is_gone(t.user_attrs[OWNER])]
        for trial in left:
            self.take(trial_of(self.study, trial))  # no parameter is drawn yet
        return left

    def retry_lost(self) -> int:
        """Gives the candidates of lost workers back to the queue, each once.

        Returns:
            How many candidates this call gave back.
        """
        retried = 0
        for trial in self._running():
            owner = trial.user_attrs.get(OWNER)
            if owner == self.name or not self._is_lost(owner or f"trial {trial.number}", owner is None):
                continue
            with contextlib.suppress(ValueError, optuna.exceptions.UpdateFinishedTrialError):
                self.study.tell(trial.number, state=TrialState.FAIL)  # of several workers only one gets through
                retried += _enqueue_again(self.study, trial)
        return retried

    def _running(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _is_lost(self, owner: str, nameless: bool) -> bool:
        if not nameless and is_gone(owner):
            return True
        beat = None if nameless else self.study.user_attrs.get(f"alive {owner}")
        now = time.monotonic()
        if owner not in self._seen or self._seen[owner][0] != beat:
            self._seen[owner] = (beat, now)
        return now - self._seen[owner][1] > LOST_SECONDS


def _enqueue_again(study: optuna.Study, lost: FrozenTrial) -> bool:
    retries = lost.user_attrs.get(RETRIES, 0)
    if retries >= MAX_RETRIES:
        return False
    kept = {name: value for name, value in lost.user_attrs.items() if name != OWNER}
    study.enqueue_trial({**fixed_params(lost), **lost.params}, user_attrs={**kept, RETRIES: retries + 1})
    return True
