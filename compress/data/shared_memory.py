"""How many batches may wait in shared memory, through which processes hand them over. Docker gives it 64 MiB."""

import shutil
import sys
from functools import cache
from pathlib import Path

SHM = Path("/dev/shm")
SHM_SHARE = 0.5  # of the free shared memory may be used
SHM_REMEDY = "give it more memory; in Docker more shared memory too, with --shm-size=1g"


def bound_prefetch(workers: int, prefetch: int, batch_bytes: int) -> tuple[int, int]:
    """Bounds the batches that are made ahead by the free shared memory.

    Args:
        workers: The number of processes that make batches.
        prefetch: The batches that each of them makes ahead.
        batch_bytes: The size of a batch.

    Returns:
        The number of processes, and the batches that each makes ahead. Fewer batches are made ahead first, then by
        fewer processes. Without room for any, both are 0: this process makes the batches itself.
    """
    if not workers:
        return 0, 0
    if not SHM.is_dir():  # not Linux
        return workers, prefetch
    room = int(SHM_SHARE * shutil.disk_usage(SHM).free) // max(1, batch_bytes) - 1  # one is in use
    if room >= workers:
        return workers, min(prefetch, room // workers)
    warn_of_little_room()
    return (room, 1) if room > 0 else (0, 0)


@cache
def warn_of_little_room() -> None:
    """Says once that training is slow for lack of shared memory."""
    room = f"{SHM} has only {shutil.disk_usage(SHM).free >> 20} MiB free, so fewer processes make crops"
    print(f"warning: {room}; {SHM_REMEDY}", file=sys.stderr)
