"""The server whose capacity is measured: `python -m bench.capacity.server serve --port PORT [--bare]`.

All of ours from the socket to the engine's port, around an engine that costs nothing; with `--bare` the floor: the web
server and loop we are built on, around an application that counts frames and answers each 100 ms with as much sound.
"""

import argparse
import contextlib
import gc
from collections.abc import AsyncIterator, Sequence

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from bench.capacity.engine import SpeakingEngine
from bench.capacity.probe import Probe
from bench.web_server import STATUS, say_ready, serve_bare
from duplex.clock import MonotonicClock
from duplex.conversation_settings import ConversationSettings
from duplex.detectors import default_detector
from duplex.engine.base import EngineSession
from duplex.engine.pool import Meanwhile
from duplex.engine.succession import EngineLease
from duplex.metrics import Metrics
from duplex.session import SessionLimits
from realtime.access import Access
from realtime.endpoint import RealtimeService, make_router
from web.app import server_config
from web.limits import LimitSettings
from web.turnstile import Turnstile

__all__ = ["bare_app", "main", "our_app"]

_FRAMES_A_PIECE = 5
_PIECE = bytes(4800)
"""100 ms at 24 kHz, the pieces in which ours leaves."""


def our_app() -> ASGIApp:
    """The product's own stack, with an engine for whoever comes."""
    access, clock = Access(), MonotonicClock()

    @contextlib.asynccontextmanager
    async def lease(
        wish: EngineSession, meanwhile: Meanwhile | None, *, first: bool = False
    ) -> AsyncIterator[EngineLease]:
        del wish, meanwhile, first
        engine = SpeakingEngine()
        yield EngineLease(engine, "bench", stand_in=True)
        await engine.finish()

    service = RealtimeService(
        lease=lease,
        access=access,
        defaults=ConversationSettings(),
        limits=SessionLimits(),
        make_detector=default_detector,
        clock=clock,
    )
    app = FastAPI()
    app.include_router(make_router(service))

    @app.get("/status")
    async def status() -> dict[str, object]:
        return STATUS

    return Turnstile(app, access, LimitSettings(), clock, Metrics())


async def bare_app(scope: Scope, receive: Receive, send: Send) -> None:
    """As many bytes in and out, and nothing else."""
    if scope["type"] == "http":
        await say_ready(send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": '{"type":"session.created"}'})
    frames = 0
    while (await receive())["type"] != "websocket.disconnect":
        frames += 1
        if frames % _FRAMES_A_PIECE == 0:
            await send({"type": "websocket.send", "bytes": _PIECE})


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM. Flags of the real server are read over."""
    parser = argparse.ArgumentParser(prog="python -m bench.capacity.server", description=__doc__)
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bare", action="store_true")
    options, _ = parser.parse_known_args(argv)
    app = Probe(bare_app if options.bare else our_app())
    gc.collect()
    gc.freeze()
    if options.bare:
        serve_bare(app, options.port)
    else:
        config = server_config(app, None)
        config.port = options.port
        uvicorn.Server(config).run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
