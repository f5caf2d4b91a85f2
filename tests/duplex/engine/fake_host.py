"""A slot without a process: the test says what state it is in, and its engine is a `FakeEngine`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import cast

from duplex.engine.base import EngineSession
from duplex.engine.host import EngineHost, EngineState, EngineStatus
from duplex.engine.lease import LeasedEngine
from duplex.engine.pool import EnginePool
from duplex.engine.spec import EngineKind, EngineSpec
from duplex.errors import CapacityError, EngineBusy, EngineError, EngineNotReady
from tests.duplex.fake_engine import FakeEngine

__all__ = ["FakeHost", "pool_of"]


class FakeHost:
    """What `EnginePool` needs of an `EngineHost`."""

    def __init__(self, state: EngineState = EngineState.READY, engine: FakeEngine | None = None) -> None:
        self.engine = engine or FakeEngine()
        self.state = state
        self.faults: list[EngineError] = []
        self.after_lease = EngineState.READY
        self._changed = asyncio.Event()
        self._observers: list[Callable[[], None]] = []
        self.warm: EngineSession | None = None

    @property
    def status(self) -> EngineStatus:
        return EngineStatus(EngineKind.PARROT, self.state, "said so", stand_in=True)

    def warmth(self, wish: EngineSession) -> int:
        return int(self.warm == wish)

    def observe(self, observer: Callable[[], None]) -> None:
        self._observers.append(observer)

    def become(self, state: EngineState) -> None:
        self.state = state
        self._changed.set()
        self._changed = asyncio.Event()
        for observer in self._observers:
            observer()

    @contextlib.asynccontextmanager
    async def lease(self) -> AsyncIterator[LeasedEngine]:
        assert self.state is EngineState.READY, "leased twice"
        leased = LeasedEngine(self.engine, EngineSpec(EngineKind.PARROT), self.faults.append)
        self.become(EngineState.LEASED)
        try:
            yield leased
        finally:
            await leased.finish()
            leased.expire()
            self.become(self.after_lease)

    async def wait_while(self, state: EngineState) -> None:
        while self.state is state:
            await self._changed.wait()

    def refusal(self) -> CapacityError:
        if self.state in {EngineState.READY, EngineState.LEASED}:
            return EngineBusy("The engine is in another conversation.")
        return EngineNotReady(f"The engine is {self.state}.")


def pool_of(*hosts: FakeHost, **options: object) -> EnginePool:
    """A pool of such hosts."""
    return EnginePool([cast("EngineHost", host) for host in hosts], **options)  # type: ignore[arg-type]
