"""A real uvicorn on a real socket around any app, and a client that keeps what it received."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from web.connection import WebSocketConnection

__all__ = ["Peer", "peer", "serving"]

_PATIENCE_S = 20.0
"""A condition that does not come true fails its own test and no other."""


@contextlib.asynccontextmanager
async def serving(app: Any, config: uvicorn.Config | None = None) -> AsyncIterator[str]:
    """Run `app` as the product does, or by its own `config`; gives `127.0.0.1:PORT`."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = config or uvicorn.Config(
        app,
        ws=WebSocketConnection,
        ws_per_message_deflate=False,
        ws_max_size=16 * 1024 * 1024,
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
        listener.close()


class Peer:
    """A client of the WebSocket: events and binary messages in the order they came."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.received: list[dict[str, Any] | bytes] = []
        self.close_code: int | None = None
        self.close_reason = ""
        self._news = asyncio.Condition()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [message for message in self.received if isinstance(message, dict)]

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def sound(self) -> bytes:
        return b"".join(message for message in self.received if isinstance(message, bytes))

    async def send(self, event: object) -> None:
        await self.connection.send(event if isinstance(event, str | bytes) else json.dumps(event))

    async def until(self, kind: str, times: int = 1) -> dict[str, Any]:
        """The `times`-th event of a kind."""
        await self.wait(lambda: self.types.count(kind) >= times)
        return [event for event in self.events if event["type"] == kind][times - 1]

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Until the condition holds. Fails at once when the connection ends before."""
        async with asyncio.timeout(_PATIENCE_S), self._news:
            await self._news.wait_for(lambda: condition() or self.close_code is not None)
        assert condition(), f"closed with {self.close_code} ({self.close_reason}) after {self.types}"

    async def closed(self) -> int:
        """Wait for the end; gives the close code."""
        async with asyncio.timeout(_PATIENCE_S), self._news:
            await self._news.wait_for(lambda: self.close_code is not None)
        assert self.close_code is not None
        return self.close_code

    async def read(self) -> None:
        """Read until the connection ends."""
        try:
            while True:
                message = await self.connection.recv()
                async with self._news:
                    self.received.append(message if isinstance(message, bytes) else json.loads(message))
                    self._news.notify_all()
        except ConnectionClosed as end:
            async with self._news:
                self.close_code = end.rcvd.code if end.rcvd else 1006
                self.close_reason = end.rcvd.reason if end.rcvd else ""
                self._news.notify_all()


@contextlib.asynccontextmanager
async def peer(address: str, query: str = "", *, path: str = "/v1/realtime", **options: Any) -> AsyncIterator[Peer]:
    """Connect and read in the background."""
    options = {"max_size": None, "compression": None, "proxy": None, **options}
    async with connect(f"ws://{address}{path}{query}", **options) as connection:
        client = Peer(connection)
        reading = asyncio.create_task(client.read())
        try:
            yield client
        finally:
            await connection.close()
            await reading
