"""One generate stream: the events of an answer on their way to one client, with exactly one end.

Policy of its queue: sound leaves as soon as it is there, and waits only for the client. A client that lets more than
`LONGEST_WAITING_S` of sound wait has stopped reading, and its stream is given up. A break overtakes everything.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from duplex.audio import SAMPLE_BYTES
from duplex.clock import samples_to_s
from duplex.engine.base import ENGINE_OUTPUT_RATE_HZ, Mode
from http_compat.narration import Narration
from http_compat.sse import break_event, chunk_event, done_event, error_event, listen_event, turn_done_event

__all__ = ["LONGEST_WAITING_S", "Reply"]

LONGEST_WAITING_S = 120.0
"""Sound that may wait for a slow client, 6 MB of it."""


class Reply:
    """Filled by the session, read once by the response. After its end nothing more is taken."""

    def __init__(self, mode: Mode, narration: Narration, *, keep_open: bool = False) -> None:
        """`keep_open`: a duplex stream that goes on over many steps and turns."""
        self.keep_open = keep_open
        self.narration = narration
        self._mode = mode
        self._events: deque[tuple[bytes, float]] = deque()
        self._news = asyncio.Event()
        self._waiting_s = 0.0
        self.sound_s = 0.0
        """Seconds of sound put into it so far."""
        self.asked_s = 0.0
        """When it was asked for, in seconds of the session's clock."""
        self.is_over = False

    @property
    def fill(self) -> float:
        """How full its queue is, from 0 to 1."""
        return self._waiting_s / LONGEST_WAITING_S

    @property
    def is_stalled(self) -> bool:
        """Whether its client has stopped reading."""
        return self.fill > 1.0

    def speak(self, pcm: bytes) -> float:
        """Add a piece of sound and the words for it; returns its length in seconds."""
        seconds = samples_to_s(len(pcm) // SAMPLE_BYTES, ENGINE_OUTPUT_RATE_HZ)
        if not self.is_over:
            self.sound_s += seconds
            self._put(chunk_event(self.narration.number(), pcm, self.narration.words()), seconds)
        return seconds

    def note_listening(self) -> None:
        """Duplex: say that the model chose to listen."""
        self._put(listen_event(self.narration.chunks))

    def say_rest(self) -> None:
        """Add the words that no sound was found for, if any are left."""
        if not self.is_over and (rest := self.narration.rest()):
            self._put(chunk_event(self.narration.number(), b"", rest))

    def finish(self, *, listens: bool = True) -> None:
        """The answer is over, or in duplex this caller's part of it: `listens` is false when more speech is coming."""
        if self.is_over:
            return
        if listens:
            self.say_rest()
        self._end(listens=listens)

    def break_off(self) -> None:
        """Drop what waits, and end with the event of a break."""
        if self.is_over:
            return
        self._forget()
        self._put(break_event())
        self.is_over = True

    def fail(self, reason: str) -> None:
        """Say the words that no sound was found for, why the answer cannot go on, and end."""
        if self.is_over:
            return
        self.say_rest()
        self._put(error_event(reason))
        self._end(listens=False)

    def drop(self) -> None:
        """Nobody reads it any more."""
        self._forget()
        self.is_over = True
        self._news.set()

    async def events(self) -> AsyncIterator[bytes]:
        """The events until the end, each as soon as it is there."""
        while True:
            while self._events:
                event, seconds = self._events.popleft()
                self._waiting_s -= seconds
                yield event
            if self.is_over:
                return
            self._news.clear()
            await self._news.wait()

    def _end(self, *, listens: bool) -> None:
        if self._mode is Mode.SIMPLEX:
            self._put(done_event())
        else:
            self._put(turn_done_event(listens=listens, chunks=self.narration.chunks, seconds=self.sound_s))
        self.is_over = True

    def _forget(self) -> None:
        self._events.clear()
        self._waiting_s = 0.0

    def _put(self, event: bytes, seconds: float = 0.0) -> None:
        if not self.is_over:
            self._events.append((event, seconds))
            self._waiting_s += seconds
            self._news.set()
