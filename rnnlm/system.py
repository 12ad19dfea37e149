"""Work in parts, side by side: numpy's sorts, searches and gathers of one array leave the other processors free."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(function: Callable[[Any], Any], parts: Iterable[Any], threads: int | None = None) -> Iterator[Any]:
    """`function` of each part, in their order, so many side by side (none: as many as there are processors); no more are under
    way, or wait to be taken."""
    threads = threads or processors()
    if threads < 2:
        yield from map(function, parts)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future] = deque()
        for part in parts:
            if len(waiting) == threads:
                yield waiting.popleft().result()
            waiting.append(pool.submit(function, part))
        while waiting:
            yield waiting.popleft().result()
