"""Time that passes faster, for one process: a minute of the server's waiting takes seconds.

Every wait of an event loop and every look at the monotonic clock is stretched by one factor; sound is not touched, as
it is counted in samples. Threads, sockets and other processes stay in ordinary time.
"""

import asyncio
import contextlib
import selectors
import time
from collections.abc import Iterator
from unittest import mock

__all__ = ["hurried_clock", "hurried_loop"]


class _Selector(selectors.DefaultSelector):
    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As ever, `timeout` being hurried seconds."""
        return super().select(timeout and timeout / self._speed)


def hurried_loop(speed: float) -> asyncio.AbstractEventLoop:
    """A loop for a process whose clock is a `hurried_clock` of the same speed."""
    return asyncio.SelectorEventLoop(_Selector(speed))


@contextlib.contextmanager
def hurried_clock(speed: float) -> Iterator[None]:
    """`time.monotonic` runs `speed` times as fast while the body runs; it must be called by that name."""
    really = time.monotonic
    start = really()

    def hurried() -> float:
        return start + (really() - start) * speed

    with mock.patch.object(time, "monotonic", hurried):
        yield
