"""Connections whose client never says what it wants, and such as do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.realtime.server import serving
from web import app as web_app
from web import connection

HEAD = b"GET /a HTTP/1.1\r\nHost: x\r\n"
TELLS_LENGTH = [(b"content-length", b"3")]


async def yes(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": TELLS_LENGTH})
        await send({"type": "http.response.body", "body": b"yes"})


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with serving(yes, web_app.server_config(yes, None)) as address, asyncio.timeout(20.0):
        host, _, port = address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        yield reader, writer
        writer.close()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Everything that comes until the server hangs up."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize("head", [b"", HEAD[:5], HEAD])
async def test_half_a_head_is_given_up(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_WITHIN_S", 0.2)
    async with connected() as (reader, writer):
        writer.write(head)
        assert await rest(reader) == b""


async def test_half_a_second_head_on_a_connection_that_was_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_WITHIN_S", 0.2)
    async with connected() as (reader, writer):
        writer.write(HEAD + b"\r\n")
        assert b"200 OK" in await reader.readuntil(b"yes")
        writer.write(HEAD)
        assert await rest(reader) == b""


async def test_who_rests_between_two_requests_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_WITHIN_S", 0.1)
    async with connected() as (reader, writer):
        for _ in range(2):
            writer.write(HEAD + b"\r\n")
            assert b"200 OK" in await reader.readuntil(b"yes")
            await asyncio.sleep(0.3)


async def test_a_long_body_has_the_time_of_its_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_WITHIN_S", 0.1)
    async with connected() as (reader, writer):
        writer.write(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1")
        await asyncio.sleep(0.3)
        writer.write(b"2")
        assert b"200 OK" in await reader.readuntil(b"yes")
