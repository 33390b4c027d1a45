"""Work on every file of a data set in threads, in bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from tqdm import tqdm

MAX_THREADS = 32
AHEAD = 4  # items a thread that are done or under way before the caller takes them

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(work: Callable[[Item], Result], items: Sequence[Item], title: str = "") -> Iterator[Result]:
    """Calls a function on every item, in several threads.

    At most AHEAD results a thread wait for the caller, so memory is bounded however slow the caller is.

    Args:
        work: The function of one item. What it raises is raised here, in the turn of its item.
        items: The items.
        title: The title of a progress bar, which is shown on a terminal. Without a title there is no bar.

    Returns:
        The results, in the order of the items.
    """
    threads = min(MAX_THREADS, (os.cpu_count() or 1) + 4)  # some wait for the disk
    left = iter(items)
    bar = tqdm(
        total=len(items), desc=title, leave=False, unit="file", dynamic_ncols=True, disable=None if title else True
    )
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[Result]] = deque()
    try:
        waiting.extend(pool.submit(work, item) for item in islice(left, AHEAD * threads))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(left, 1))
            bar.update()
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
        bar.close()
