"""How a latency that was measured on a busy machine is noticed, marked and measured again.

Other work is taken out of the figures by the reference (`compress.latency.timing`). That fails when the machine is so
busy that a run is interrupted far more often than the much shorter reference. Such latencies are measured again, a
bounded number of times, and marked when none was measured undisturbed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from compress.latency.timing import Timed

MAX_TRIES = 3
MIN_CPU_SHARE = 0.8  # beside as many busy programs as there are cores a program gets about half
MAX_SPREAD = 0.5  # 90th less 10th percentile of the corrected runs, over their median
MAX_SLOWDOWN = 2.0  # of the reference, compared with its undisturbed time: beyond that the correction was never tried


@dataclass(frozen=True)
class Latency:
    """The latency of one model.

    Attributes:
        ms: Median in ms, corrected for the machine's momentary speed.
        p10_ms: 10th percentile, corrected.
        p90_ms: 90th percentile, corrected.
        raw_ms: Plain median.
        relative: Median in units of the reference.
        runs: Number of runs.
        busy: Why the figures are not to be trusted; "" where the machine was quiet.
    """

    ms: float
    p10_ms: float
    p90_ms: float
    raw_ms: float
    relative: float
    runs: int
    busy: str = ""

    def mark(self) -> dict[str, str]:
        """What the record of a measurement says beside the latency.

        Returns:
            `busy` with the reason when the machine was busy, else nothing.
        """
        return {"busy": self.busy} if self.busy else {}


def latency_of(timed: Timed, reference_ms: float) -> Latency:
    """Converts a timing to ms.

    Args:
        timed: The timing of one model.
        reference_ms: Undisturbed time of the reference.

    Returns:
        The latency; marked when the machine was busy.
    """
    ms = timed.relative * reference_ms
    latency = Latency(ms, timed.p10 * reference_ms, timed.p90 * reference_ms, timed.raw_ms, timed.relative, timed.runs)
    spread = (timed.p90 - timed.p10) / timed.relative
    reasons = []
    if timed.cpu_share is not None and timed.cpu_share < MIN_CPU_SHARE:
        reasons.append(f"other programs took the core for {1 - timed.cpu_share:.0%} of the time")
    if spread > MAX_SPREAD:
        reasons.append(f"the runs spread by {spread:.0%}")
    if timed.raw_ms > MAX_SLOWDOWN * ms:
        reasons.append(f"everything took {timed.raw_ms / ms:.1f} times as long as on the quiet machine")
    return replace(latency, busy=", ".join(reasons))


def measure_until_quiet(measure: Callable[[Sequence[bytes]], list[Latency]], models: Sequence[bytes]) -> list[Latency]:
    """Measures models, and again those for which the machine was busy: MAX_TRIES times in all.

    Args:
        measure: Measures models once.
        models: The content of .tflite files.

    Returns:
        The latency of each model: the first one that was measured undisturbed, or else the shortest, marked.
    """
    best = measure(models)
    for again in range(1, MAX_TRIES):
        left = [i for i, latency in enumerate(best) if latency.busy]
        if not left:
            return best
        print(f"the machine is busy: {best[left[0]].busy}; measuring again ({again} of {MAX_TRIES - 1})", flush=True)
        for i, latency in zip(left, measure([models[i] for i in left]), strict=True):
            best[i] = min(best[i], latency, key=lambda one: (bool(one.busy), one.ms))
    if reasons := [latency.busy for latency in best if latency.busy]:
        print(f"the machine stayed busy: {reasons[0]}; the latency is marked as busy in the records", flush=True)
    return best
