"""All engines of one server: which one a conversation gets, or why it gets none."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from duplex.engine.host import EngineHost, EngineState, EngineStatus
from duplex.engine.lease import LeasedEngine
from duplex.errors import CapacityError, EngineBusy, ShuttingDown
from duplex.tasks import beside

__all__ = ["EnginePool", "EngineStatus"]


_HANGS_UP_WITHIN_S = 0.5
"""How long the end of a call may take to reach us."""

_FINISHES_WITHIN_S = 10.0
"""A broken answer is drained in a few seconds; whoever has to wait longer had better be told."""


class EnginePool:
    """Lends out the engines of `hosts`. Nobody queues: what cannot be had soon is refused with the reason."""

    def __init__(self, hosts: Sequence[EngineHost]) -> None:
        self._hosts = tuple(hosts)
        self._closing = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Supervise all engines while the body runs; on the way out, also by cancellation, every child is stopped.

        Raises `EngineStartFailed` before anything is started when a start cannot succeed (port taken).
        """
        for host in self._hosts:
            await host.preflight()
        supervisors = {f"engine_{number}": host.run() for number, host in enumerate(self._hosts)}
        async with beside(**supervisors):
            try:
                yield
            finally:
                self._closing = True

    @contextlib.asynccontextmanager
    async def lease(self) -> AsyncIterator[LeasedEngine]:
        """The exclusive right to an engine that is ready, or that becomes so within seconds.

        Raises `EngineBusy` when all that work are in conversations, `EngineNotReady` with the progress or the reason
        when none works yet or any more, `ShuttingDown` when the server ends.
        """
        host = self._ready() or await self._soon()
        if host is None:
            raise self._refusal()
        async with host.lease() as engine:
            yield engine

    def status(self) -> tuple[EngineStatus, ...]:
        """Every engine now, in a fixed order."""
        return tuple(host.status for host in self._hosts)

    async def wait_ready(self) -> None:
        """Return when every engine is usable or has failed for good; `status` tells which."""
        for host in self._hosts:
            await host.wait_until(EngineState.READY, EngineState.LEASED, EngineState.FAILED, EngineState.STOPPED)

    def _ready(self) -> EngineHost | None:
        if self._closing:
            return None
        return next((host for host in self._hosts if host.status.state is EngineState.READY), None)

    async def _soon(self) -> EngineHost | None:
        """Somebody who hangs up and calls again meets his own last call: first before we have noticed its end, then
        while the engine thinks the answer he left to the end."""
        for state, patience_s in (
            (EngineState.LEASED, _HANGS_UP_WITHIN_S),
            (EngineState.FINISHING, _FINISHES_WITHIN_S),
        ):
            waiting = [
                asyncio.ensure_future(host.wait_while(state)) for host in self._hosts if host.status.state is state
            ]
            try:
                if waiting:
                    await asyncio.wait(waiting, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                # Also when the caller gives up: nobody else would end them.
                for wait in waiting:
                    wait.cancel()
        return self._ready()

    def _refusal(self) -> CapacityError:
        if self._closing:
            return ShuttingDown("The server is shutting down.")
        refusals = [host.refusal() for host in self._hosts]
        busy = next((refusal for refusal in refusals if isinstance(refusal, EngineBusy)), None)
        return busy or next(iter(refusals), ShuttingDown("The server has no engine."))
