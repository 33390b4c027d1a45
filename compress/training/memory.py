"""Memory that a training, or the score of a candidate, gets back from the C library again and again.

glibc returns large blocks to the system as soon as they are free, and the system clears each page when it is used
again. A training step frees and takes the same hundreds of megabytes every time. A fifth of a step can go to that, and
half the time in which a network is run without gradients.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

# numbers of mallopt in malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
DEFAULT_MMAP_MAX = 65536
# glibc raises its own thresholds up to these while it runs, but stops doing so once one of them was set
MMAP_THRESHOLD, TRIM_THRESHOLD = 32 << 20, 64 << 20


@cache
def glibc() -> ctypes.CDLL | None:
    """The C library.

    Returns:
        The library where it is glibc, else None.
    """
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


@contextmanager
def kept_memory() -> Iterator[None]:
    """Inside, freed memory stays with this process. After it glibc may return memory to the system again.

    It changes no result. Where the C library is not glibc it does nothing.

    Yields:
        Nothing; the work is done inside.
    """
    library = glibc()
    if library is None:
        yield
        return
    library.mallopt(M_MMAP_MAX, 0)
    library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        library.mallopt(M_MMAP_MAX, DEFAULT_MMAP_MAX)
        library.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
        library.mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD)
        library.malloc_trim(0)
