"""An engine inside the server's process that speaks without end, and does nothing else.

A process for each session would measure the engines: a machine that can run a hundred has a hundred GPUs.
"""

import asyncio
from collections.abc import AsyncIterator

from duplex.engine.base import (
    ENGINE_OUTPUT_RATE_HZ,
    EngineAudio,
    EngineEvent,
    EngineIdle,
    EngineSession,
    EngineText,
)

__all__ = ["SpeakingEngine"]

_SECOND = bytes(2 * ENGINE_OUTPUT_RATE_HZ)


class SpeakingEngine:
    """Duplex: says a second of sound after each second that it hears.

    After the first it says two, so that sound always waits to leave in real time and how evenly it leaves is the
    server's doing alone.
    """

    def __init__(self) -> None:
        self._events: asyncio.Queue[EngineEvent | None] = asyncio.Queue()
        self._answers = 0

    async def begin(self, session: EngineSession) -> None:
        """See `Engine`, as all below."""
        del session
        self._answers = 0

    async def prefill(self, pcm: bytes, *, image: bytes | None = None, slices: int = 1) -> None:
        """Hear it."""
        del pcm, image, slices

    async def decode(self) -> None:
        """Say the next second."""
        self._answers += 1
        self._events.put_nowait(EngineText("one two three "))
        for _ in range(2 if self._answers == 1 else 1):
            self._events.put_nowait(EngineAudio(_SECOND))

    async def interrupt(self, *, forget: bool = False) -> None:
        """Be silent at once."""
        del forget
        self._answers = 0
        self._events.put_nowait(EngineIdle(interrupted=True))

    context_fill = 0.0

    async def renew(self) -> bool:
        """Nothing is remembered anyway."""
        return True

    async def events(self) -> AsyncIterator[EngineEvent]:
        """What it says."""
        while (event := await self._events.get()) is not None:
            yield event

    async def finish(self) -> None:
        """Say no more."""
        self._events.put_nowait(None)
