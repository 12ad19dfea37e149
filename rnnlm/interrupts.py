"""Work that others may interrupt: the server stops a request that nobody waits for any more, and
lets the requests of others take their turn."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Piece = TypeVar("Piece")


class _Thread(threading.local):
    check: Callable[[], None] | None = None


_thread = _Thread()


@contextlib.contextmanager
def interruptible(check: Callable[[], None]) -> Iterator[None]:
    """Call `check`, which may wait or raise, before each of the :func:`pieces` of this thread."""
    _thread.check = check
    try:
        yield
    finally:
        _thread.check = None


def pieces(work: Iterable[Piece]) -> Iterator[Piece]:
    """Yield the pieces of some work; it can be interrupted before each."""
    for piece in work:
        if _thread.check:
            _thread.check()
        yield piece


def tokens_of_a_piece(most: int, interruptible_most: int) -> int:
    """Return how many tokens a piece of work may have: `most`, and in a thread that others may
    interrupt `interruptible_most`."""
    return max(1, min(most, interruptible_most)) if _thread.check else most
