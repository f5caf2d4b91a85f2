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
            await self._app(scope, self._metered(receive, charges, self._idle_s), send)

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
            await self._app(scope, self._metered(receive, charges, 0.0), send)

    @contextlib.contextmanager
    def _entered(self, charge: _Charge) -> Iterator[None]:
        charge.quotas.enter(charge.owner, self._clock.now())
        try:
            yield
        finally:
            charge.quotas.leave(charge.owner, self._clock.now())

    def _metered(self, receive: Receive, charges: Sequence[_Charge], idle_s: float) -> Receive:
        """`receive`, with what comes charged. It raises `TooManyRequests`, and `ClientStalled` after `idle_s` of
        nothing; whoever reads the messages knows what to do with both."""
        if not charges and not idle_s:
            return receive

        async def metered() -> Message:
            message = await (_within(idle_s, receive) if idle_s else receive())
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


async def _within(idle_s: float, receive: Receive) -> Message:
    try:
        async with asyncio.timeout(idle_s):
            return await receive()
    except TimeoutError:
        raise ClientStalled(f"Nothing has come for {idle_s:.0f} s: send audio, or session.heartbeat.") from None


def _size(message: Message) -> int:
    """Bytes of a client's message or of a piece of a body."""
    return len(message.get("bytes") or message.get("text") or message.get("body") or b"")
