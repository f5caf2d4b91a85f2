"""A server that says what a test tells it to: for states a real one cannot show on demand."""

import asyncio
import json
import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
from playwright.async_api import Page
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests.web.browser import phase_is

__all__ = ["PAGE_POLICY", "ScriptedServer", "ScriptedSocket", "scripted_server", "talk", "tone"]

STATIC = Path(__file__).parents[2] / "web" / "static"
PAGE_POLICY = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; style-src 'self'"
"""The strict policy the page must work under."""

Event = dict[str, Any]


def tone(duration_s: float, *, rate_hz: int = 24_000) -> bytes:
    """A steady 300 Hz tone at half scale as int16 PCM."""
    at_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    pcm: bytes = np.rint(16_384 * np.sin(2 * np.pi * 300 * at_s)).astype("<i2").tobytes()
    return pcm


class ScriptedSocket:
    """One connected page."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._events: asyncio.Queue[Event] = asyncio.Queue(maxsize=1000)
        self._audio = asyncio.Event()
        self.path = connection.request.path if connection.request else ""
        self.offered_protocols = (
            connection.request.headers.get("Sec-WebSocket-Protocol", "") if connection.request else ""
        )
        self.audio_sizes: set[int] = set()
        self.sent = 0
        """How many messages the page was sent: the number of the newest."""
        self.silent = True
        """Whether the newest frame of the microphone holds nothing but zeros."""

    async def read(self) -> None:
        """Take in everything until the page goes."""
        try:
            async for message in self._connection:
                if isinstance(message, bytes):
                    self.audio_sizes.add(len(message))
                    self.silent = not any(message)
                    self._audio.set()
                else:
                    self._events.put_nowait(json.loads(message))
        except ConnectionClosed:
            return

    async def say(self, *events: Event) -> None:
        """Send events, in order."""
        for event in events:
            self.sent += 1
            await self._connection.send(json.dumps(event | {"server_event_seq": self.sent}))

    async def say_uncounted(self, *events: Event) -> None:
        """Send events that have no number, in order."""
        for event in events:
            await self._connection.send(json.dumps(event))

    async def play(self, pcm: bytes) -> None:
        """Send reply audio."""
        self.sent += 1
        await self._connection.send(pcm)

    async def welcome(self, **model: Any) -> None:
        """Lease the engine: the first two events of every conversation."""
        about = {"engine": "parrot", "stand_in": True, "conversation": "duplex", "ignored": []} | model
        created = {"type": "session.created", "session": {"id": "sess_1"}, "resume_token": "t0ken"}
        await self.say(created, {"type": "session.model_info"} | about)

    async def heard_microphone(self) -> None:
        """Wait for the first frame of the microphone."""
        await self._audio.wait()

    async def heard(self, event_type: str) -> Event:
        """Wait for the next event of this type; others before it are passed over."""
        while True:
            event = await self._events.get()
            if event["type"] == event_type:
                return event

    async def gone(self) -> int | None:
        """Wait until the page has left; its close code."""
        await self._connection.wait_closed()
        return self._connection.close_code

    async def close(self, code: int, reason: str = "") -> None:
        """End the conversation."""
        await self._connection.close(code, reason)

    def lose(self) -> None:
        """Break the connection without a word."""
        self._connection.transport.abort()


class ScriptedServer:
    """Serves the page under the strict policy, `/status`, and sockets that wait for the test to speak."""

    def __init__(self) -> None:
        self.status: Event | None = {
            "version": "0.1.0",
            "conversation": "duplex",
            "engines": [{"kind": "parrot", "state": "ready", "detail": "", "stand_in": True}],
        }
        """What `/status` answers; None: 503."""
        self.refusal: tuple[int, str] | None = None
        """Close code and reason for whoever connects; None: they may stay."""
        self.port = 0
        self._arrivals: asyncio.Queue[ScriptedSocket] = asyncio.Queue(maxsize=100)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}/"

    def engine_is(self, state: str, detail: str = "") -> None:
        """Change what `/status` tells of the one engine."""
        assert self.status is not None
        self.status = self.status | {
            "engines": [{"kind": "parrot", "state": state, "detail": detail, "stand_in": True}]
        }

    async def arrival(self) -> ScriptedSocket:
        """Wait for the next page that connects and is not refused."""
        return await self._arrivals.get()

    async def handle(self, connection: ServerConnection) -> None:
        """Own one socket."""
        if self.refusal is not None:
            await connection.close(*self.refusal)
            return
        socket = ScriptedSocket(connection)
        self._arrivals.put_nowait(socket)
        await socket.read()

    def respond(self, _connection: ServerConnection, request: Request) -> Response | None:
        """Answer plain HTTP; None lets a WebSocket through."""
        path = request.path.split("?")[0]
        if path == "/v1/realtime":
            return None
        if path == "/status":
            found = HTTPStatus.OK if self.status is not None else HTTPStatus.SERVICE_UNAVAILABLE
            return _response(found, "application/json", json.dumps(self.status).encode())
        name = "index.html" if path == "/" else path.removeprefix("/static/")
        file = STATIC / name
        if "/" in name or not file.is_file():
            return _response(HTTPStatus.NOT_FOUND, "text/plain", b"not here")
        return _response(HTTPStatus.OK, mimetypes.guess_type(name)[0] or "application/octet-stream", file.read_bytes())


def _response(status: HTTPStatus, content_type: str, body: bytes) -> Response:
    headers = Headers(
        {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": PAGE_POLICY,
            "Cache-Control": "no-store",
        }
    )
    return Response(status.value, status.phrase, headers, body)


@asynccontextmanager
async def scripted_server() -> AsyncIterator[ScriptedServer]:
    """Run one on a free port of the loopback interface."""
    scripted = ScriptedServer()
    server: Server
    async with serve(
        scripted.handle,
        "127.0.0.1",
        0,
        process_request=scripted.respond,
        select_subprotocol=_select_subprotocol,
        compression=None,
    ) as server:
        scripted.port = server.sockets[0].getsockname()[1]
        yield scripted


def _select_subprotocol(_connection: ServerConnection, offered: Any) -> Any:
    return "realtime" if "realtime" in offered else None


async def talk(page: Page, server: ScriptedServer) -> ScriptedSocket:
    """Press the button and lease the page an engine."""
    await page.get_by_role("button", name="Start talking").click()
    socket = await server.arrival()
    await socket.welcome()
    await phase_is(page, "listening")
    return socket
