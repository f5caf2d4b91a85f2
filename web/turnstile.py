"""Where everybody passes who comes to one of our ports: charged, or turned away, before any route is asked.

Addresses are limited by their number, keys by theirs, and whoever has both is charged twice. This machine itself is
not limited by its address: whoever sits here needs no socket to do harm, and a proxy here speaks for others.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from duplex.clock import Clock
from duplex.errors import ClientStalled, TooManyRequests
from duplex.metrics import Metrics
from http_compat.errors import refuse
from realtime.access import Access
from realtime.endpoint import REFUSAL
from web.limits import LimitSettings
from web.quotas import Allowance, Quotas, address_owner

__all__ = ["Turnstile"]

_OPENING = frozenset({"/omni/init_sys_prompt", "/omni/reset", "/v1/realtime/client_secrets"})
"""Requests that are as dear as a connection: each takes an engine, or makes a key."""

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Charge:
    """One owner and where it is written down."""

    quotas: Quotas
    owner: str


class Turnstile:
    """Wraps an ASGI app."""

    def __init__(self, app: ASGIApp, access: Access, limits: LimitSettings, clock: Clock, metrics: Metrics) -> None:
        self._app = app
        self._access = access
        self._clock = clock
        self._metrics = metrics
        self._idle_s = limits.idle_s
        minute = (limits.connects_per_minute, limits.mib_per_minute * _MIB)
        self._addresses = Quotas(Allowance(limits.sessions_per_address, *minute), "for one address")
        self._keys = Quotas(Allowance(limits.sessions_per_key, *minute), "for one key")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one connection or request pass, or not."""
        if scope["type"] == "websocket":
            await self._converse(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _converse(self, scope: Scope, receive: Receive, send: Send) -> None:
        charges = self._charges(scope)
        with contextlib.ExitStack() as held:
            try:
                for charge in charges:
                    charge.quotas.connect(charge.owner, self._clock.now())
                for charge in charges:
                    held.enter_context(self._entered(charge))
            except TooManyRequests as error:
                # Only the endpoint knows how to say it in the words of the protocol.
                scope = {**scope, REFUSAL: error}
            if self._idle_s:
                patience = _Patience(receive, self._idle_s)
                held.callback(patience.end)
                receive = patience.receive
            await self._app(scope, self._metered(receive, charges), send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        charges = self._charges(scope)
        try:
            if scope["path"] in _OPENING or self._access.is_guess(Headers(scope=scope)):
                for charge in charges:
                    charge.quotas.connect(charge.owner, self._clock.now())
        except TooManyRequests as error:
            self._metrics.refused("http", error)
            await (await refuse(Request(scope), error))(scope, receive, send)
        else:
            await self._app(scope, self._metered(receive, charges), send)

    @contextlib.contextmanager
    def _entered(self, charge: _Charge) -> Iterator[None]:
        charge.quotas.enter(charge.owner, self._clock.now())
        try:
            yield
        finally:
            charge.quotas.leave(charge.owner, self._clock.now())

    def _metered(self, receive: Receive, charges: Sequence[_Charge]) -> Receive:
        """`receive`, with what comes charged. It raises `TooManyRequests`; whoever reads the messages knows what to do
        with it."""
        if not charges:
            return receive

        async def metered() -> Message:
            message = await receive()
            size = _size(message)
            if size:
                for charge in charges:
                    charge.quotas.spend(charge.owner, size, self._clock.now())
            return message

        return metered

    def _charges(self, scope: Scope) -> list[_Charge]:
        """Who pays: the address unless it is our own, and the key if one opened."""
        charges = []
        client = scope.get("client")
        address = address_owner(client[0]) if client else None
        if address is not None:
            charges.append(_Charge(self._addresses, address))
        owner = self._access.owner(Headers(scope=scope), scope.get("subprotocols", ()))
        if owner.startswith("key "):
            charges.append(_Charge(self._keys, owner))
        return charges


class _Patience:
    """With one client. `receive` raises `ClientStalled` when nothing has come for `limit_s` seconds of waiting.

    One timer serves all of a connection's waits: when it fires it is set anew if the newest of them has not lasted long
    enough. A timer for each message would cost more than the message.
    """

    def __init__(self, receive: Receive, limit_s: float) -> None:
        self._receive = receive
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._waiter: asyncio.Task[object] | None = None
        self._is_over = False
        self._timer = self._loop.call_at(self._since + limit_s, self._look)

    async def receive(self) -> Message:
        """The next message."""
        self._since = self._loop.time()
        self._waiter = waiter = asyncio.current_task(self._loop)
        try:
            return await self._receive()
        except asyncio.CancelledError:
            # Whoever else wants the task to end must not be taken for the timer.
            is_over, self._is_over = self._is_over, False
            if not is_over or waiter is None or waiter.uncancel():
                raise
            raise ClientStalled(
                f"Nothing has come for {self._limit_s:.0f} s: send audio, or session.heartbeat."
            ) from None
        finally:
            self._waiter = None

    def end(self) -> None:
        """The connection is over."""
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        # While nobody waits the client is not to blame.
        since = now if self._waiter is None else self._since
        if self._waiter is not None and now >= since + self._limit_s:
            self._is_over, since = True, now
            self._waiter.cancel()
        self._timer = self._loop.call_at(since + self._limit_s, self._look)


def _size(message: Message) -> int:
    """Bytes of a client's message or of a piece of a body."""
    return len(message.get("bytes") or message.get("text") or message.get("body") or b"")
