"""The end of a server: it takes nothing new, lets the calls that run come to their end, and ends what is left.

SIGTERM   drain: refuse who comes, leave the backend's list, wait for the calls; then the goodbye
SIGINT    the goodbye: every client is told that the server stops, and its connection is closed
another   at once: whatever is left is cut off
"""

import asyncio
import contextlib
import logging
import signal

from duplex.clock import Clock
from duplex.engine.pool import EnginePool
from duplex.errors import ShuttingDown
from duplex.tasks import beside
from http_compat.sessions import HttpSessions
from realtime.seat import Seats

__all__ = ["Drain"]

_log = logging.getLogger(__name__)

_LOOKS_EVERY_S = 1.0
"""Between two looks whether an HTTP session has ended without saying so."""

_TELLS_EVERY_S = 5.0
"""Between two lines of the log that say the same, but for the time."""

_GOODBYE_S = 5.0
"""How long the connections may take to hear that it is over."""


class Drain:
    """Ends the calls of one server in the right order. `run` waits for the first signal."""

    def __init__(
        self, pool: EnginePool, sessions: HttpSessions, seats: Seats, clock: Clock, *, patience_s: float
    ) -> None:
        """`patience_s`: how long calls may take to end by themselves."""
        self._pool = pool
        self._sessions = sessions
        self._seats = seats
        self._clock = clock
        self._patience_s = patience_s
        self.began = asyncio.Event()
        """From now on nothing new is taken."""

    def begin(self, number: int) -> None:
        """This signal has come. The second one is not for us."""
        if number == signal.SIGINT:
            self._patience_s = 0.0
        # At once and not in `run`: whoever comes now is refused already.
        self._pool.close()
        self._sessions.refuse_new()
        self.began.set()

    async def run(self) -> None:
        """Return when the calls have ended, or have been ended."""
        await self.began.wait()
        async with beside(progress=self._watch()):
            await self._hung_up_within(self._patience_s)
        if self._pool.calls:
            _log.info("saying goodbye to %s", self._calls())
        self._sessions.end_all()
        self._seats.end_all(ShuttingDown("The server is shutting down."))
        if not await self._hung_up_within(_GOODBYE_S):
            _log.warning("%s did not end within %.0f s: cutting off", self._calls(), _GOODBYE_S)

    async def _hung_up_within(self, limit_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._pool.wait_hung_up()
        return not self._pool.calls

    async def _watch(self) -> None:
        """Say how far it is, and end HTTP sessions whose caller has gone without a word."""
        ends_at = self._clock.now() + self._patience_s
        said, said_at = 0, 0.0
        while self._patience_s:
            now, calls = self._clock.now(), self._pool.calls
            if calls and (calls != said or now - said_at >= _TELLS_EVERY_S):
                _log.info("draining: %s, %.0f s left", self._calls(), ends_at - now)
                said, said_at = calls, now
            await asyncio.sleep(_LOOKS_EVERY_S)
            await self._sessions.make_room()

    def _calls(self) -> str:
        calls = self._pool.calls
        return "1 call" if calls == 1 else f"{calls} calls"
