"""An engine of the port that does what the test tells it, when it tells it."""

import asyncio
from collections.abc import AsyncIterator

from duplex.engine.base import EngineAudio, EngineEvent, EngineIdle, EngineSession, EngineText
from duplex.errors import anew

__all__ = ["FakeEngine", "answer", "is_answer"]


class FakeEngine:
    """Every call is recorded. A decode says what `script` holds for it, one list of events a decode.

    `gate` can hold decodes open: clear it, and a decode emits its events and waits. `ready` holds `begin` likewise,
    `renews` `renew`.
    `fail` makes the next call raise. `context_fill` is what the test says it is, and 0 after `renew`.
    """

    def __init__(self, *script: list[EngineEvent]) -> None:
        self.script = list(script)
        self.calls: list[str] = []
        self.heard = bytearray()
        self.seen: list[bytes] = []
        self.sessions: list[EngineSession] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.ready = asyncio.Event()
        self.ready.set()
        self.renews = asyncio.Event()
        self.renews.set()
        self.fail: Exception | None = None
        self.context_fill = 0.0
        self._events: asyncio.Queue[EngineEvent | Exception | None] = asyncio.Queue()
        self._called = asyncio.Condition()

    async def begin(self, session: EngineSession) -> None:
        self.sessions.append(session)
        self._events = asyncio.Queue()
        await self.ready.wait()
        await self._record("begin")

    async def prefill(self, pcm: bytes, *, image: bytes | None = None, slices: int = 1) -> None:
        self.heard += pcm
        if image is not None:
            self.seen.append(image)
        await self._record("prefill")

    async def decode(self) -> None:
        await self._record("decode")
        for event in self.script.pop(0) if self.script else []:
            self._events.put_nowait(event)
        await self.gate.wait()

    async def interrupt(self, *, forget: bool = False) -> None:
        await self._record("forget" if forget else "interrupt")
        self._events.put_nowait(EngineIdle(interrupted=True))

    async def renew(self) -> bool:
        await self._record("renew")
        await self.renews.wait()
        self.context_fill = 0.0
        return True

    async def events(self) -> AsyncIterator[EngineEvent]:
        while (event := await self._events.get()) is not None:
            if isinstance(event, Exception):
                raise anew(event)
            yield event

    async def finish(self) -> None:
        self._events.put_nowait(None)
        await self._record("finish")

    def emit(self, *events: EngineEvent | Exception) -> None:
        """Say something outside a decode."""
        for event in events:
            self._events.put_nowait(event)

    async def until(self, call: str, times: int = 1) -> None:
        """Wait until a call was made so often."""
        async with self._called:
            await self._called.wait_for(lambda: self.calls.count(call) >= times)

    async def _record(self, call: str) -> None:
        if self.fail is not None:
            raise anew(self.fail)
        async with self._called:
            self.calls.append(call)
            self._called.notify_all()


def answer(text: str, seconds: float) -> list[EngineEvent]:
    """A whole simplex answer of so much sound."""
    return [EngineText(text), EngineAudio(_ramp(seconds)), EngineIdle()]


def is_answer(sound: bytes, seconds: float) -> bool:
    """The sound of `answer`, whole and in order. Not a plain ==: pytest would explain the difference for minutes."""
    return sound == _ramp(seconds)


def _ramp(seconds: float) -> bytes:
    """No two samples near each other are alike."""
    return b"".join((n % 30_000).to_bytes(2, "little") for n in range(round(seconds * 24_000)))
