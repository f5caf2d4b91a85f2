"""The same bytes through uvicorn's own WebSocket and through ours: the same messages, answers and ends."""

import asyncio
import os
import struct
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.utils import apply_mask

from web.connection import WebSocketConnection
from web.frames import BINARY, TEXT, PlainFrames

LARGEST = 700
MASK = b"\x12\x34\xab\xcd"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def frame(first: int, payload: bytes, *, masked: bool = True, wide: int = 0, promised: int | None = None) -> bytes:
    """One frame; `wide` bytes for its length though fewer would do, `promised` as its length whatever it is."""
    size = len(payload) if promised is None else promised
    wide = max(wide, 8 if size > 0xFFFF else 2 if size > 125 else 0)
    second = {0: size, 2: 126, 8: 127}[wide] | (0x80 if masked else 0)
    length = size.to_bytes(wide, "big") if wide else b""
    return bytes((first, second)) + length + (MASK + apply_mask(payload, MASK) if masked else payload)


class Wire(asyncio.Transport):
    """Keeps what is written, and what is done to reading."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 1), "sockname": ("192.0.2.2", 2)})
        self.written = b""
        self.closing = False
        self.pauses = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.pauses += 1

    def resume_reading(self) -> None:
        pass


async def outcome(kind: type[WebSocketsSansIOProtocol], pieces: list[bytes]) -> tuple[list[Any], bytes, bool]:
    """Messages for the application, bytes for the client, and whether the connection is over."""
    messages: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while not messages or messages[-1]["type"] != "websocket.disconnect":
            messages.append(await receive())

    config = uvicorn.Config(app, ws_max_size=LARGEST, ws_per_message_deflate=False, log_config=None, lifespan="off")
    config.load()
    wire, protocol = Wire(), kind(config, ServerState(), {})
    protocol.connection_made(wire)
    protocol.data_received(UPGRADE)
    await asyncio.sleep(0)
    accepted = len(wire.written)
    assert wire.written.startswith(b"HTTP/1.1 101 ")
    for piece in pieces:
        if not wire.closing:
            protocol.data_received(piece)
    for _ in range(20):
        await asyncio.sleep(0)
    closing = wire.closing
    protocol.connection_lost(None)
    await asyncio.sleep(0)
    protocol.stop_keepalive()
    return messages, wire.written[accepted:], closing


payloads = st.one_of(st.binary(max_size=200), st.integers(0, LARGEST).map(bytes))
sound = st.builds(frame, st.just(BINARY), payloads, wide=st.sampled_from([0, 2, 8]))
texts = st.text(max_size=100).map(lambda text: frame(TEXT, text.encode()))
controls = st.builds(frame, st.sampled_from([0x89, 0x8A]), st.binary(max_size=125))
fragments = st.lists(st.binary(max_size=300), min_size=1, max_size=4).map(
    lambda parts: b"".join(frame(0x02 if at == 0 else 0x00, part) for at, part in enumerate(parts)) + frame(0x80, b"")
)
closes = st.sampled_from([b"", struct.pack("!H", 1000), struct.pack("!H", 1001) + b"bye"]).map(
    lambda reason: frame(0x88, reason)
)
wrong = st.one_of(
    st.builds(frame, st.integers(0, 255), st.binary(max_size=130), masked=st.booleans()),
    st.just(frame(BINARY, b"", promised=LARGEST + 1)),
    st.just(frame(BINARY, b"", promised=2**63 + 5)),
    st.sampled_from([frame(0x89, bytes(126)), frame(0x80, b"of nothing"), frame(0xC2, b"compressed?")]),
    st.just(frame(TEXT, b"\xc3") + frame(0x89, b"?")),
    st.binary(min_size=1, max_size=20),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(sound, texts, controls), max_size=5), st.none() | fragments, closes | wrong, st.data())
def test_it_is_the_library_only_faster(
    good: list[bytes], parts: bytes | None, last: bytes, choices: st.DataObject
) -> None:
    stream = b"".join([*good, parts or b"", last, frame(BINARY, b"late")])
    # The library forgets what came with an error in one read, and so do we once it has taken over.
    free = len(stream) if parts is None else len(b"".join(good) + parts)
    cuts = sorted(choices.draw(st.lists(st.integers(0, free), max_size=8)))
    single = [stream[at : at + 1] for at in range(len(stream))]
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, free], strict=True) if a < b] + single[free:]
    reference = asyncio.run(outcome(WebSocketsSansIOProtocol, single))
    assert asyncio.run(outcome(WebSocketConnection, pieces)) == reference


def test_each_kind_of_frame_goes_where_it_belongs() -> None:
    speech, ping, part = frame(BINARY, b"speech"), frame(0x89, b"?"), frame(0x01, b"part")
    frames = PlainFrames(100)
    assert frames.push(speech + ping + speech[:3]) == [(BINARY, b"speech"), (0, ping)]
    assert frames.push(speech[3:] + part + speech) == [(BINARY, b"speech"), (0, part + speech)]
    assert frames.push(speech) == [(0, speech)], "after a fragment the library sees everything"


@pytest.mark.parametrize(
    "rest",
    [
        frame(BINARY, bytes(101)),
        frame(0x88, b""),
        frame(BINARY, b"", masked=False),
        frame(0x80, b"of nothing"),
        frame(0xC2, b"compressed?"),
        b"\x83",
    ],
)
def test_what_is_large_closes_or_is_wrong_goes_to_the_library_with_all_that_follows(rest: bytes) -> None:
    frames = PlainFrames(100)
    assert frames.push(rest[:2]) + frames.push(rest[2:])[:1] in ([(0, rest[:2]), (0, rest[2:])], [(0, rest)])
    assert frames.push(frame(TEXT, b"after")) == [(0, frame(TEXT, b"after"))]


def test_a_frame_in_many_pieces_is_copied_once() -> None:
    frames, payload = PlainFrames(70_000), os.urandom(70_000)
    stream = frame(BINARY, payload)
    pieces = [frames.push(stream[at : at + 1]) for at in range(len(stream))]
    assert [found for found in pieces if found] == [[(BINARY, payload)]]


@pytest.mark.parametrize("messages", [[b"speech"] * 16, [bytes(64 * 1024 + 1)]])
async def test_reading_stops_when_the_application_does_not_take_what_comes(messages: list[bytes]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.Event().wait()

    config = uvicorn.Config(app, log_config=None, lifespan="off")
    config.load()
    wire, protocol = Wire(), WebSocketConnection(config, ServerState(), {})
    protocol.connection_made(wire)
    protocol.data_received(UPGRADE)
    await asyncio.sleep(0)
    for message in messages:
        assert wire.pauses == 0
        protocol.data_received(frame(BINARY, message))
    protocol.data_received(frame(TEXT, b"{}"))
    assert wire.pauses == 1
    protocol.stop_keepalive()
    for task in protocol.tasks:
        task.cancel()
