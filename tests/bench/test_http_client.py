"""The client sees each event when it is whole, and takes nothing for an answer that is none."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from bench.errors import BenchError
from bench.http_client import connected, json_body
from duplex.engine.ports import LOOPBACK, free_port

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextlib.asynccontextmanager
async def server(*answers: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Gives one answer for each request on a connection, then closes it; returns its port and what it was sent."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            heard.append(head + await reader.readexactly(int(length or 0)))
            writer.write(answer)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, LOOPBACK, 0) as listener:
        yield listener.sockets[0].getsockname()[1], heard


async def test_requests_follow_each_other_on_one_connection() -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    async with server(answer, answer) as (port, heard), connected(port) as client:
        first = await client.post("/one", json_body({"a": 1}))
        second = await client.get("/two")
    assert (first.body, second.body) == (b"ok", b"ok")
    assert first.at_s <= second.at_s
    assert heard[0].startswith(b"POST /one HTTP/1.1\r\n")
    assert heard[0].endswith(b'Content-Type: application/json\r\nContent-Length: 8\r\n\r\n{"a": 1}')
    assert heard[1] == b"GET /two HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def test_events_are_told_apart_however_they_are_cut_into_chunks() -> None:
    chunks = [b"data: 1\n\ndata: 2", b"\n", b"\ndata: 3\n\n"]
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    async with server(STREAM_HEAD + body + b"0\r\n\r\n") as (port, _), connected(port) as client:
        pieces = [piece async for piece in await client.open_stream("/stream")]
    assert [piece.content for piece in pieces] == [b"data: 1", b"data: 2", b"data: 3", b""]
    assert [piece.at_s for piece in pieces] == sorted(piece.at_s for piece in pieces)


async def test_another_request_may_follow_a_stream() -> None:
    stream = STREAM_HEAD + b"9\r\ndata: 1\n\n\r\n0\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    async with server(stream, answer) as (port, _), connected(port) as client:
        pieces = [piece async for piece in await client.open_stream("/stream")]
        assert (await client.get("/")).body == b"ok"
    assert len(pieces) == 2


async def test_a_refusal_is_told_in_the_servers_words() -> None:
    answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy"
    async with server(answer) as (port, _), connected(port) as client:
        with pytest.raises(BenchError, match="/omni was answered with 503: busy"):
            await client.post("/omni")


async def test_an_answer_where_a_stream_was_due_is_no_stream() -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    async with server(answer) as (port, _), connected(port) as client:
        with pytest.raises(BenchError, match="not answered with a stream"):
            await client.open_stream("/stream")


async def test_a_connection_that_breaks_is_no_result() -> None:
    async with server(b"HTTP/1.1 200 OK\r\n") as (port, _):
        with pytest.raises(BenchError, match=f"port {port} broke"):
            async with connected(port) as client:
                await client.get("/")


async def test_a_server_that_is_not_there_is_no_result() -> None:
    with pytest.raises(BenchError, match="broke"):
        async with connected(free_port()):
            pass
