"""The first second of a server: ports, keys and engines, and the web framework while the engines start.

The framework takes as long to load as the stand-in takes to start, and a model takes longer.
"""

import asyncio
import contextlib
import gc
import socket
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from duplex.clock import Clock, MonotonicClock
from duplex.engine.pool import EnginePool
from realtime.keys import KeyRing
from web.api_keys import open_keys
from web.banner import SERVE_BANNER, Banner
from web.engines import engine_specs, open_engines
from web.settings import Settings, SettingsError
from web.tls import Tls, open_tls

__all__ = ["Ground", "serve"]


@dataclass(frozen=True, slots=True)
class Ground:
    """What a server stands on; whoever made it ends it."""

    listener: socket.socket
    control: socket.socket
    tls: Tls | None
    keys: KeyRing
    pool: EnginePool
    clock: Clock


class _ServeOn(Protocol):
    def __call__(self, ground: Ground, settings: Settings, *, banner: Banner) -> Awaitable[int]: ...


async def serve(settings: Settings, *, banner: Banner = SERVE_BANNER) -> int:
    """Run until SIGINT or SIGTERM, and until what these ask for is done: see `web.drain`. Returns the exit code.

    Raises `SettingsError` when an address cannot be bound and `EngineStartFailed` when the engine cannot be started.
    """
    specs = await asyncio.to_thread(engine_specs, settings)
    tls = await asyncio.to_thread(open_tls, settings.server)
    clock = MonotonicClock()
    host = settings.server.host
    async with contextlib.AsyncExitStack() as stack:
        listener = stack.enter_context(contextlib.closing(_listen(host, settings.server.port, "--port")))
        control = stack.enter_context(contextlib.closing(_listen(host, settings.control_port, "--control-port")))
        keys = await stack.enter_async_context(open_keys(settings.server))
        pool = await stack.enter_async_context(
            open_engines(
                specs,
                clock=clock,
                queue_limit=settings.engine.queue,
                restarts_per_hour=settings.engine.restarts_per_hour,
            )
        )
        serve_on = await asyncio.to_thread(_load_framework)
        return await serve_on(Ground(listener, control, tls, keys, pool, clock), settings, banner=banner)


def _load_framework() -> _ServeOn:
    # What is loaded stays: to look for garbage among it takes a tenth of the time.
    gc.disable()
    try:
        from web.app import serve_on  # noqa: PLC0415
    finally:
        gc.enable()
    return serve_on


def _listen(host: str, port: int, flag: str) -> socket.socket:
    """Bind, and make the kernel notice clients that stop reading: connections inherit the listener's options."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise SettingsError(
            f"Cannot listen on {host} port {port}: {error.strerror or error}. "
            f"Is another server running there? Choose another one with {flag}."
        ) from None
    # Linux only. Without them 80 s of speech vanish into kernel buffers before a stuck client is felt.
    for option, value in (("TCP_NOTSENT_LOWAT", 32 * 1024), ("TCP_USER_TIMEOUT", 10_000)):
        if hasattr(socket, option):
            with contextlib.suppress(OSError):
                listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return listener
