"""The engine of one session, and the one after it when it fails in the middle of the call."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from duplex.engine.base import Engine, EngineSession
from duplex.engine.pool import Meanwhile
from duplex.engine.queue import Place
from duplex.errors import CapacityError, EngineError, ShuttingDown

__all__ = ["REPLACED_WITHIN_S", "EngineLease", "Lend", "SessionEngines"]

log = logging.getLogger(__name__)

REPLACED_WITHIN_S = 300.0
"""How long a call waits for another engine: a real one takes minutes to load. Then it ends as lost."""

_TRIES = 3
"""Engines that may fail one after the other before they have begun."""


@dataclass(frozen=True, slots=True)
class EngineLease:
    """An engine for one session, and what the session may say about it."""

    engine: Engine
    kind: str
    stand_in: bool


class Lend(Protocol):
    """How a session gets an engine."""

    def __call__(
        self, wish: EngineSession, meanwhile: Meanwhile | None, *, first: bool = False
    ) -> AbstractAsyncContextManager[EngineLease]:
        """For a conversation like this, waited for where that is given something to do meanwhile; `first`: before all
        others, because it had one and lost it. Raises `CapacityError`. Finishes the engine's conversation on the way
        out, so that the next one can begin."""
        ...


class SessionEngines:
    """Holds one lease at a time. Use `leased` for the first, `replace` for each that follows."""

    def __init__(self, lend: Lend, wish: EngineSession) -> None:
        self._lend = lend
        self.wish = wish
        """What each of its engines begins with."""
        self._held = contextlib.AsyncExitStack()

    @contextlib.asynccontextmanager
    async def leased(self, meanwhile: Meanwhile | None) -> AsyncIterator[EngineLease]:
        """The first engine; whichever is held in the end is given back. Raises `CapacityError`."""
        async with self._held:
            yield await self._held.enter_async_context(self._lend(self.wish, meanwhile))

    async def replace(self, error: EngineError) -> Engine:
        """Another engine that has begun the same conversation, in place of the one that failed like this.

        Raises the last failure when there is none, `ShuttingDown` when the server ends.
        """
        log.warning("an engine failed in a call, which waits for another one: %s", error)
        try:
            async with asyncio.timeout(REPLACED_WITHIN_S):
                for _ in range(_TRIES):
                    try:
                        await self._held.aclose()
                        lease = self._lend(self.wish, _wait_patiently, first=True)
                        engine = (await self._held.enter_async_context(lease)).engine
                        await engine.begin(self.wish)
                    except EngineError as failure:
                        error = failure
                    else:
                        return engine
        except ShuttingDown:
            raise
        except (CapacityError, TimeoutError) as refusal:
            log.warning("no other engine for a call that lost its own: %s", refusal)
        try:
            raise error
        finally:
            # Its traceback has this frame.
            del error


async def _wait_patiently(place: Callable[[], Place]) -> None:
    """The client has a session already: it is told when it goes on."""
    del place
    await asyncio.Event().wait()
