"""An HTTP/1.1 client of few lines: one kept connection, and the moment each piece of a stream arrived.

The usual clients spend more time on a chunk of 64 KB than the servers that are measured. Times are seconds of
CLOCK_MONOTONIC, taken when the last byte of an event or answer is here and before anything is made of it.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from bench.errors import BenchError
from duplex.engine.ports import LOOPBACK

__all__ = ["Answer", "HttpClient", "Piece", "connected", "json_body"]

_LIMIT_S = 30.0
_BUFFER_BYTES = 2**22
_EVENT_END = b"\n\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    body: bytes
    at_s: float


@dataclass(frozen=True, slots=True)
class Piece:
    """One event of a stream as it came, without the empty line after it; the end of the stream is an empty one."""

    content: bytes
    at_s: float


def json_body(body: Mapping[str, object]) -> bytes:
    """A body for `HttpClient`."""
    return json.dumps(body).encode()


class HttpClient:
    """One connection, one request at a time. Every call raises `BenchError` for a status that is not 200."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def get(self, path: str) -> Answer:
        """Ask."""
        self._send("GET", path, b"")
        return await self._answer(path)

    async def post(self, path: str, body: bytes = b"") -> Answer:
        """Send JSON, or nothing."""
        self._send("POST", path, body)
        return await self._answer(path)

    async def open_stream(self, path: str, body: bytes = b"") -> AsyncIterator[Piece]:
        """Post, wait for the head of the answer, and return its events: all must be read before the next request."""
        self._send("POST", path, body)
        async with _in_time(path):
            headers = await self._head(path)
        if headers.get("transfer-encoding") != "chunked":
            raise BenchError(f"{path} was not answered with a stream.")
        return self._pieces(path)

    def _send(self, method: str, path: str, body: bytes) -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(head.encode("ascii") + b"\r\n" + body)

    async def _answer(self, path: str) -> Answer:
        async with _in_time(path):
            headers = await self._head(path)
            if "content-length" not in headers:
                raise BenchError(f"{path} was answered with a stream.")
            body = await self._reader.readexactly(int(headers["content-length"]))
            return Answer(body, time.monotonic())

    async def _head(self, path: str) -> dict[str, str]:
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        status = lines[0].split(" ")[1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if status != "200":
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
            raise BenchError(f"{path} was answered with {status}: {body.decode(errors='replace')[:200]}")
        return headers

    async def _pieces(self, path: str) -> AsyncIterator[Piece]:
        waiting = b""
        while True:
            async with _in_time(path):
                size = int(await self._reader.readuntil(b"\r\n"), 16)
                chunk = (await self._reader.readexactly(size + 2))[:size]
            at_s = time.monotonic()
            if not size:
                yield Piece(b"", at_s)
                return
            *events, waiting = (waiting + chunk).split(_EVENT_END)
            for event in events:
                yield Piece(event, at_s)


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[HttpClient]:
    """A connection to this machine. Raises `BenchError` when it cannot be made or breaks."""
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port, limit=_BUFFER_BYTES)
        try:
            yield HttpClient(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    except (OSError, EOFError) as error:
        raise BenchError(f"The connection to port {port} broke: {error!r}") from None


@contextlib.asynccontextmanager
async def _in_time(path: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_LIMIT_S):
            yield
    except TimeoutError:
        raise BenchError(f"No answer to {path} within {_LIMIT_S:.0f} s.") from None
