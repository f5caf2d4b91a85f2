"""The handle of one lease: the engine, for as long as the lease lasts, with every fault of it noticed."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

from duplex.engine.base import Engine, EngineEvent, EngineSession
from duplex.engine.spec import EngineKind, EngineSpec
from duplex.errors import EngineError

__all__ = ["LeasedEngine"]


class LeasedEngine:
    """An `Engine` that passes everything on to the real one.

    It tells `on_fault` of each `EngineError`, because a session maps such an error to a close code and so nothing of
    it need ever leave the lease. After `expire` every use is a bug and raises `RuntimeError`: the engine belongs to
    somebody else by then.
    """

    def __init__(self, engine: Engine, spec: EngineSpec, on_fault: Callable[[EngineError], None]) -> None:
        self._engine: Engine | None = engine
        self._spec = spec
        self._on_fault = on_fault
        self._begun = False
        self.conversation: EngineSession | None = None
        """The last one that was begun."""

    @property
    def kind(self) -> EngineKind:
        """What was leased."""
        return self._spec.kind

    @property
    def stand_in(self) -> bool:
        """True when no model is behind it."""
        return self._spec.stand_in

    async def begin(self, session: EngineSession) -> None:
        """See `Engine.begin`."""
        with self._watched() as engine:
            self._begun = True
            await engine.begin(session)
            self.conversation = session

    async def prefill(self, pcm: bytes, *, image: bytes | None = None, slices: int = 1) -> None:
        """See `Engine.prefill`."""
        with self._watched() as engine:
            await engine.prefill(pcm, image=image, slices=slices)

    async def decode(self) -> None:
        """See `Engine.decode`."""
        with self._watched() as engine:
            await engine.decode()

    async def interrupt(self, *, forget: bool = False) -> None:
        """See `Engine.interrupt`."""
        with self._watched() as engine:
            await engine.interrupt(forget=forget)

    @property
    def context_fill(self) -> float:
        """See `Engine.context_fill`."""
        with self._watched() as engine:
            return engine.context_fill

    async def renew(self) -> bool:
        """See `Engine.renew`."""
        with self._watched() as engine:
            return await engine.renew()

    def events(self) -> AsyncIterator[EngineEvent]:
        """See `Engine.events`."""
        with self._watched() as engine:
            return _WatchedEvents(engine.events(), self._on_fault)

    async def finish(self) -> None:
        """See `Engine.finish`. Nothing happens when no conversation is open."""
        if not self._begun:
            return
        self._begun = False
        with self._watched() as engine:
            await engine.finish()

    def expire(self) -> None:
        """The lease is over."""
        self._engine = None

    @contextlib.contextmanager
    def _watched(self) -> Iterator[Engine]:
        if self._engine is None:
            raise RuntimeError("the lease of this engine is over")
        try:
            yield self._engine
        except EngineError as error:
            self._on_fault(error)
            raise


class _WatchedEvents:
    def __init__(self, events: AsyncIterator[EngineEvent], on_fault: Callable[[EngineError], None]) -> None:
        self._events = events
        self._on_fault = on_fault

    def __aiter__(self) -> AsyncIterator[EngineEvent]:
        return self

    async def __anext__(self) -> EngineEvent:
        try:
            return await anext(self._events)
        except EngineError as error:
            self._on_fault(error)
            raise
