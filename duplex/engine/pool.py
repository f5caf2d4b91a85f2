"""All engines of one server: which one a conversation gets, who waits for one, or why somebody gets none."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from duplex.clock import Clock, MonotonicClock
from duplex.engine.base import EngineSession
from duplex.engine.host import EngineHost, EngineState, EngineStatus
from duplex.engine.lease import LeasedEngine
from duplex.engine.queue import LeaseLengths, LeaseQueue, Place
from duplex.errors import CapacityError, EngineBusy, QueueFull, ShuttingDown
from duplex.tasks import beside

__all__ = ["EnginePool", "EngineStatus", "Meanwhile"]

Meanwhile = Callable[[Callable[[], Place]], Coroutine[object, object, None]]
"""What somebody does who waits, given a way to ask for his place. Cancelled when his turn has come; whoever raises has
given his place up."""

_HANGS_UP_WITHIN_S = 0.5
"""How long the end of a call may take to reach us."""

_FINISHES_WITHIN_S = 10.0
"""A broken answer is drained in a few seconds; whoever has to wait longer had better be told."""

_HOPELESS = frozenset({EngineState.FAILED, EngineState.STOPPED})
_ON_LOAN = frozenset({EngineState.LEASED, EngineState.FINISHING})
_WORKING = _ON_LOAN | {EngineState.READY}


@dataclass(slots=True, eq=False)
class _Waiter:
    wish: EngineSession | None
    turn: asyncio.Future[EngineHost] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class EnginePool:
    """Lends out the engines of `hosts`, each to one at a time."""

    def __init__(self, hosts: Sequence[EngineHost], *, queue_limit: int = 0, clock: Clock | None = None) -> None:
        """`queue_limit`: how many may wait for an engine; with 0 what cannot be had soon is refused."""
        self._hosts = tuple(hosts)
        self._clock = clock or MonotonicClock()
        self._queue = LeaseQueue[_Waiter](queue_limit)
        self._lengths = LeaseLengths()
        self._lent_at: dict[EngineHost, float] = {}
        self._promised: set[EngineHost] = set()
        self._closing = False
        for host in self._hosts:
            host.observe(self._hand_out)

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
                self.close()

    def close(self) -> None:
        """Lend out nothing more: whoever waits is refused, whoever has an engine keeps it."""
        self._closing = True
        self._hand_out()

    @contextlib.asynccontextmanager
    async def lease(
        self, wish: EngineSession | None = None, *, meanwhile: Meanwhile | None = None, first: bool = False
    ) -> AsyncIterator[LeasedEngine]:
        """The exclusive right to an engine: of those that are ready, the one that is nearest to the conversation wished
        for. With `meanwhile`, which then runs, it is waited for in the queue; `first`: before all others, whatever its
        bound, by somebody who had an engine and lost it.

        Raises `QueueFull` when too many wait already. Without `meanwhile` only an engine is had that is ready or
        becomes so within seconds, and that nobody waits for: else `EngineBusy` when all that work are in conversations,
        `EngineNotReady` with the progress or the reason when none works yet. Either way `EngineNotReady` when none
        works any more, and `ShuttingDown` when the server ends.
        """
        if self._queue.limit == 0 and not first:
            meanwhile = None
        host = self._ready(wish) if first and not self._closing else self._free(wish)
        if host is None and meanwhile is None:
            host = await self._soon(wish)
        if host is None and meanwhile is None:
            raise self._refusal()
        had_a_turn = first
        while host is None:
            assert meanwhile is not None
            host = await self._turn(wish, meanwhile, first=had_a_turn)
            self._promised.discard(host)
            if host.status.state is not EngineState.READY:
                # It failed in the moment between.
                host, had_a_turn = None, True
        self._lent_at[host] = self._clock.now()
        try:
            async with host.lease() as engine:
                yield engine
        finally:
            self._lengths.record(self._clock.now() - self._lent_at.pop(host))

    async def refusal(self, *, waits: bool) -> CapacityError | None:
        """Why somebody who comes now would be refused; None when he would get an engine, or, if he `waits`, a place.

        None too where there is no queue."""
        if self._closing:
            return self._refusal()
        if self._free() is not None:
            return None
        if self._queue.limit == 0:
            # He is told when he has been accepted.
            return None
        if waits:
            return self._no_place()
        return None if await self._soon() is not None else self._refusal()

    def unreadiness(self) -> CapacityError | None:
        """Why somebody who comes now had better go elsewhere; None when he would get an engine, or a place in the queue
        for one that works."""
        states = {host.status.state for host in self._hosts}
        if self._closing or not _WORKING & states:
            return self._refusal()
        if self._queue.limit:
            return None if self._free() is not None else self._no_place()
        return None if {EngineState.READY, EngineState.FINISHING} & states else self._refusal()

    @property
    def is_closing(self) -> bool:
        """Whether nothing is lent out any more, because the server ends."""
        return self._closing

    @property
    def calls(self) -> int:
        """How many engines are in a conversation."""
        return sum(host.status.state is EngineState.LEASED for host in self._hosts)

    async def wait_hung_up(self) -> None:
        """Return when no engine is in a conversation any more. After `close`, when nobody gets another one."""
        for host in self._hosts:
            await host.wait_while(EngineState.LEASED)

    @property
    def can_lease(self) -> bool:
        """Whether somebody who does not wait would get an engine at once."""
        return self._free() is not None

    @property
    def queue_length(self) -> int:
        """How many wait."""
        return len(self._queue)

    def status(self) -> tuple[EngineStatus, ...]:
        """Every engine now, in a fixed order."""
        return tuple(host.status for host in self._hosts)

    async def wait_ready(self) -> None:
        """Return when every engine is usable or has failed for good; `status` tells which."""
        for host in self._hosts:
            await host.wait_until(EngineState.READY, EngineState.LEASED, EngineState.FAILED, EngineState.STOPPED)

    # --- those who do not wait

    def _free(self, wish: EngineSession | None = None) -> EngineHost | None:
        """One for somebody who has just come: nobody overtakes those who wait."""
        return None if self._closing or len(self._queue) else self._ready(wish)

    def _ready(self, wish: EngineSession | None) -> EngineHost | None:
        ready = [host for host in self._hosts if host.status.state is EngineState.READY and host not in self._promised]
        return max(ready, key=lambda host: host.warmth(wish) if wish else 0, default=None)

    async def _soon(self, wish: EngineSession | None = None) -> EngineHost | None:
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
                if waiting and not len(self._queue) and not self._closing:
                    await asyncio.wait(waiting, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                # Also when the caller gives up: nobody else would end them.
                for wait in waiting:
                    wait.cancel()
        return self._free(wish)

    def _refusal(self) -> CapacityError:
        if self._closing:
            return ShuttingDown("The server is shutting down.")
        refusals = [host.refusal() for host in self._hosts]
        busy = next((refusal for refusal in refusals if isinstance(refusal, EngineBusy)), None)
        return busy or next(iter(refusals), ShuttingDown("The server has no engine."))

    # --- those who wait

    async def _turn(self, wish: EngineSession | None, meanwhile: Meanwhile, *, first: bool) -> EngineHost:
        """The engine of somebody whose turn has come, promised to him."""
        refusal = None if first else self._no_place()
        if refusal is not None:
            raise refusal
        waiter = _Waiter(wish)
        self._queue.join(waiter, first=first)
        self._hand_out()
        try:
            async with beside(waiting=meanwhile(lambda: self._place(waiter))):
                return await waiter.turn
        except BaseException:
            self._queue.leave(waiter)
            if waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.exception() is None:
                self._promised.discard(waiter.turn.result())
                self._hand_out()
            raise

    def _no_place(self) -> CapacityError | None:
        """Why nobody more may wait; None while somebody may."""
        if self._is_hopeless:
            return self._refusal()
        if not self._queue.is_full:
            return None
        length = len(self._queue)
        return QueueFull(
            f"Every engine is in a conversation, and {length} wait for one already. Try again later.",
            retry_after_s=self._estimate(length),
        )

    def _place(self, waiter: _Waiter) -> Place:
        # Between the turn and the end of the wait it is the next.
        position = self._queue.position(waiter) or 1
        return Place(position, max(len(self._queue), position), self._estimate(position))

    def _estimate(self, position: int) -> float | None:
        now = self._clock.now()
        running = [now - lent for host, lent in self._lent_at.items() if host.status.state in _ON_LOAN]
        return self._lengths.estimated_wait_s(position, running)

    @property
    def _is_hopeless(self) -> bool:
        return self._closing or all(host.status.state in _HOPELESS for host in self._hosts)

    def _hand_out(self) -> None:
        """Give what is ready to those who wait, in their order; or tell them that nothing will be."""
        while (waiter := self._queue.head) is not None:
            if waiter.turn.done():
                self._queue.leave(waiter)
            elif self._is_hopeless:
                self._queue.leave(waiter)
                waiter.turn.set_exception(self._refusal())
            elif (host := self._ready(waiter.wish)) is not None:
                self._queue.leave(waiter)
                self._promised.add(host)
                waiter.turn.set_result(host)
            else:
                return
