"""The one queue between an engine adapter and whoever listens to it.

Policy: audio waits outside (in the engine's files) while `has_room` is false; text never waits, it grows the newest
text; everything else always fits, because no decode starts while the box is full and a decode makes at most three
such events. So nobody ever blocks on a consumer that has stopped, and nothing is dropped except by `drop_response`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from duplex.engine.base import EngineAudio, EngineEvent, EngineText
from duplex.errors import anew

__all__ = ["EventMailbox"]


class EventMailbox:
    """Events of one conversation, from `begin` to `finish`. One consumer."""

    def __init__(self, *, limit: int = 256) -> None:
        """`limit`: events after which `has_room` says no; 256 pieces of 1 s of audio are 12 MB."""
        self._limit = limit
        self._events: deque[EngineEvent] = deque()
        self._news = asyncio.Event()
        self._is_closed = False
        self._failure: Exception | None = None

    @property
    def has_room(self) -> bool:
        """Whether there is room for a piece of audio."""
        return len(self._events) < self._limit

    def put(self, event: EngineEvent) -> None:
        """Append `event`. Nothing is taken once the box is closed or has failed."""
        if self._is_closed or self._failure is not None:
            return
        if isinstance(event, EngineText) and not self.has_room:
            newest = self._events[-1]
            if isinstance(newest, EngineText):
                self._events[-1] = EngineText(newest.text + event.text)
                return
        self._events.append(event)
        self._news.set()

    def drop_response(self) -> None:
        """Forget the text and audio nobody has read yet."""
        kept = [event for event in self._events if not isinstance(event, EngineText | EngineAudio)]
        self._events = deque(kept)

    def close(self) -> None:
        """End the iteration once what is there has been read."""
        self._is_closed = True
        self._news.set()

    def fail(self, failure: Exception) -> None:
        """Raise `failure` at the consumer, ahead of whatever it has not read: that answer cannot be completed."""
        if self._failure is None and not self._is_closed:
            self._failure = failure
            self._events.clear()
            self._news.set()

    async def __aiter__(self) -> AsyncIterator[EngineEvent]:
        """The events in order until the box is closed. Raises what it failed with."""
        while True:
            while self._events:
                yield self._events.popleft()
            if self._failure is not None:
                raise anew(self._failure)
            if self._is_closed:
                return
            self._news.clear()
            await self._news.wait()
