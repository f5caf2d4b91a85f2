"""A generate stream at the level of ASGI."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from starlette.types import Message, Receive, Scope

from duplex.engine.base import Mode
from http_compat.event_stream import EventStream
from http_compat.narration import Narration
from http_compat.reply import Reply
from http_compat.session import HttpSession

SCOPE: Scope = {"type": "http", "method": "POST", "path": "/omni/streaming_generate", "headers": []}
PATIENCE_S = 20.0
SECOND = bytes(48_000)


class Session:
    """What a stream needs of one."""

    def __init__(self) -> None:
        self.abandoned: list[Reply] = []
        self.was_abandoned = asyncio.Event()

    def abandon(self, reply: Reply) -> None:
        self.abandoned.append(reply)
        self.was_abandoned.set()
        if not reply.is_over:
            reply.drop()


class Client:
    """The far end of a stream."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.gone = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self._news = asyncio.Condition()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        async with self._news:
            self._news.notify_all()
        await self.reads.wait()

    async def until_pieces(self, count: int) -> None:
        await self.until(lambda: len(self.bodies) >= count)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(condition)

    @property
    def bodies(self) -> list[bytes]:
        return [message["body"] for message in self.sent if message["type"] == "http.response.body"]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body.removeprefix(b"data: ")) for body in self.bodies if body]


class Call:
    """One stream between a session and a client."""

    def __init__(self, mode: Mode = Mode.SIMPLEX) -> None:
        self.session, self.client = Session(), Client()
        self.reply = Reply(mode, Narration())
        self.stream = EventStream(cast("HttpSession", self.session), self.reply)

    def start(self, receive: Receive | None = None) -> asyncio.Task[None]:
        return asyncio.create_task(self.stream(SCOPE, receive or self.client.receive, self.client.send))

    async def whole(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.start()


async def test_the_headers_are_the_documented_ones_and_no_length() -> None:
    call = Call()
    call.reply.finish()
    await call.whole()
    assert call.client.sent[0] == {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"cache-control", b"no-cache"),
            (b"connection", b"keep-alive"),
            (b"x-accel-buffering", b"no"),
            (b"content-type", b"text/event-stream; charset=utf-8"),
        ],
    }
    assert call.stream.headers["content-type"] == "text/event-stream; charset=utf-8"


async def test_events_leave_one_by_one_and_in_order() -> None:
    call = Call()
    running = call.start()
    for count in range(3):
        call.reply.speak(SECOND)
        await call.client.until_pieces(count + 1)
        assert not running.done()
    call.reply.finish()
    async with asyncio.timeout(PATIENCE_S):
        await running
    assert [event.get("chunk_idx") for event in call.client.events] == [0, 1, 2, None]
    assert call.client.events[-1] == {"done": True}
    pieces = [message for message in call.client.sent if message["type"] == "http.response.body"]
    assert [piece["more_body"] for piece in pieces] == [True] * 4 + [False]
    assert pieces[-1]["body"] == b""
    # Its session learns that nobody reads it any more, which is nothing new for a reply that is over.
    assert call.session.abandoned == [call.reply]


async def test_the_headers_leave_before_there_is_anything_to_say() -> None:
    call = Call()
    call.client.reads.clear()
    running = call.start()
    await call.client.until(lambda: bool(call.client.sent))
    assert [message["type"] for message in call.client.sent] == ["http.response.start"]
    call.client.reads.set()
    call.reply.finish()
    async with asyncio.timeout(PATIENCE_S):
        await running


async def test_a_client_that_goes_is_noticed_while_there_is_nothing_to_send() -> None:
    call = Call(Mode.DUPLEX)
    running = call.start()
    call.reply.speak(SECOND)
    await call.client.until_pieces(1)
    assert call.session.abandoned == []
    call.client.gone.set()
    async with asyncio.timeout(PATIENCE_S):
        await running
    assert set(call.session.abandoned) == {call.reply}
    assert call.reply.is_over
    assert [event.get("chunk_idx") for event in call.client.events] == [0]


async def test_a_client_that_goes_is_noticed_while_it_does_not_read() -> None:
    call = Call()
    call.client.reads.clear()
    running = call.start()
    call.reply.speak(SECOND)
    call.client.gone.set()
    async with asyncio.timeout(PATIENCE_S):
        await call.session.was_abandoned.wait()
        assert not running.done()
        call.client.reads.set()
        await running
    assert call.client.events == []


async def test_what_else_the_client_says_is_no_end() -> None:
    call = Call()
    said: list[Message] = [
        {"type": "http.request", "body": b"x", "more_body": True},
        {"type": "http.request", "body": b"", "more_body": False},
    ]

    async def receive() -> Message:
        return said.pop(0) if said else await call.client.receive()

    running = call.start(receive)
    call.reply.speak(SECOND)
    await call.client.until_pieces(1)
    assert (said, call.session.abandoned) == ([], [])
    call.reply.finish()
    async with asyncio.timeout(PATIENCE_S):
        await running
    assert call.client.events[-1] == {"done": True}


async def test_a_stream_that_is_cancelled_is_abandoned() -> None:
    call = Call()
    running = call.start()
    call.reply.speak(SECOND)
    await call.client.until_pieces(1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert call.session.abandoned == [call.reply]
    assert call.reply.is_over


async def test_a_connection_that_cannot_be_written_to_is_abandoned() -> None:
    call = Call()

    async def send(message: Message) -> None:
        raise ConnectionResetError(message["type"])

    with pytest.raises(ConnectionResetError):
        await call.stream(SCOPE, call.client.receive, send)
    assert call.session.abandoned == [call.reply]


async def test_a_break_is_the_last_thing_a_client_hears() -> None:
    call = Call()
    running = call.start()
    call.reply.speak(SECOND)
    await call.client.until_pieces(1)
    call.reply.speak(SECOND)
    call.reply.break_off()
    async with asyncio.timeout(PATIENCE_S):
        await running
    assert [event.get("break") for event in call.client.events] == [None, True]
