"""The shell around a `Paced` dialect: asks it what is due, and sends that."""

import asyncio
from collections.abc import Awaitable, Callable

from duplex.clock import Clock
from duplex.tasks import wait_at_most
from realtime.dialects.base import Dialect, Frame, Paced

__all__ = ["Pacemaker"]


class Pacemaker:
    """Sends what `dialect` has due, one batch at a time; nothing for a dialect that only answers.

    `send` raises when its client has stalled.
    """

    def __init__(self, dialect: Dialect, send: Callable[[list[Frame]], Awaitable[None]], clock: Clock) -> None:
        self._dialect = dialect if isinstance(dialect, Paced) else None
        self._send = send
        self._clock = clock
        self._changed = asyncio.Event()

    def nudge(self) -> None:
        """The dialect has heard something: it may have an answer now."""
        if self._dialect is not None:
            self._changed.set()

    async def run(self) -> None:
        """Until the dialect closes."""
        dialect = self._dialect
        while dialect is None or not dialect.closing:
            now = self._clock.now()
            frames = dialect.take(now) if dialect else []
            if not frames:
                await self._wait(dialect.due_at() - now if dialect else float("inf"))
                continue
            await self._send(frames)

    async def _wait(self, seconds: float) -> None:
        if seconds == float("inf"):
            await self._changed.wait()
        elif seconds > 0:
            await wait_at_most(seconds, self._changed)
        else:
            # Due, and yet nothing was taken: time has not moved on. The others must have their turn.
            await asyncio.sleep(0)
        self._changed.clear()
