"""A client that waits for its engine: it is told where it stands, is read all the time, and may go at any moment."""

import asyncio
from collections.abc import Awaitable, Callable

from duplex.engine.queue import Place
from duplex.tasks import beside
from realtime.dialects.base import Frame
from realtime.outlet import at_most
from realtime.queue_events import QueueEvents, is_sound

__all__ = ["EarlyFrames", "Queueing"]

_EARLY_BYTES = 1024 * 1024
"""Half a minute of 16 kHz audio: a client need not wait for `session.created`."""


class EarlyFrames:
    """What a client sends before its session is ready: kept up to a bound, the rest is dropped."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.dropped = False
        self._room = _EARLY_BYTES

    def put(self, frame: Frame) -> None:
        """Keep it if there is room."""
        self._room -= len(frame)
        if self._room >= 0:
            self.frames.append(frame)
        else:
            self.dropped = True


class Queueing:
    """One connection's time in the queue. `receive` gives its next frame and raises when the client has gone."""

    def __init__(
        self,
        events: QueueEvents,
        early: EarlyFrames,
        *,
        receive: Callable[[], Awaitable[Frame]],
        send: Callable[[Frame], Awaitable[None]],
        update_s: float,
        send_s: float,
    ) -> None:
        """`update_s`: between two updates. `send_s`: how long one message may take to leave."""
        self._events = events
        self._early = early
        self._receive = receive
        self._send = send
        self._update_s = update_s
        self._send_s = send_s

    async def wait(self, place: Callable[[], Place]) -> None:
        """Until it is cancelled. What the client wishes is kept; what it says is not: nobody hears it.

        Raises what `receive` raises, and `ClientStalled` when the client does not read.
        """
        async with beside(reader=self._read()):
            await self._tell(self._events.queued(place()))
            while True:
                await asyncio.sleep(self._update_s)
                await self._tell(self._events.update(place()))

    async def done(self) -> None:
        """The engine is there. Raises `ClientStalled`."""
        await self._tell(self._events.done())

    async def _read(self) -> None:
        while True:
            frame = await self._receive()
            if not is_sound(frame):
                self._early.put(frame)

    async def _tell(self, frames: list[Frame]) -> None:
        async with at_most(self._send_s):
            for frame in frames:
                await self._send(frame)
