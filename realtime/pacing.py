"""The shell around a `Paced` dialect: asks it what is due, and sends that."""

import asyncio
from collections.abc import Awaitable, Callable

from duplex.clock import Clock
from duplex.errors import ClientStalled
from duplex.tasks import wait_at_most
from realtime.dialects.base import Dialect, Frame, Paced

__all__ = ["Pacemaker"]


class Pacemaker:
    """Sends what `dialect` has due, one batch at a time; nothing for a dialect that only answers.

    `send_s` is how long a batch may take before the client counts as stalled.
    """

    def __init__(
        self, dialect: Dialect, send: Callable[[list[Frame]], Awaitable[None]], clock: Clock, send_s: float
    ) -> None:
        self._dialect = dialect if isinstance(dialect, Paced) else None
        self._send = send
        self._clock = clock
        self._send_s = send_s
        self._changed = asyncio.Event()

    def nudge(self) -> None:
        """The dialect has heard something: it may have an answer now."""
        if self._dialect is not None:
            self._changed.set()

    async def run(self) -> None:
        """Until the dialect closes. Raises `ClientStalled` when the client does not read."""
        dialect = self._dialect
        while dialect is None or not dialect.closing:
            now = self._clock.now()
            frames = dialect.take(now) if dialect else []
            if not frames:
                await self._wait(dialect.due_at() - now if dialect else float("inf"))
                continue
            try:
                async with asyncio.timeout(self._send_s):
                    await self._send(frames)
            except TimeoutError:
                raise ClientStalled(f"The client has not read for {self._send_s:.0f} s.") from None

    async def _wait(self, seconds: float) -> None:
        if seconds == float("inf"):
            await self._changed.wait()
        elif seconds > 0:
            await wait_at_most(seconds, self._changed)
        else:
            # Due, and yet nothing was taken: time has not moved on. The others must have their turn.
            await asyncio.sleep(0)
        self._changed.clear()
