"""The client's own WebSocket, against the library that the servers use."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.frames import Opcode as TheirOpcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from bench.capacity.wire import Arrived, Incoming, Opcode, outgoing, upgrade_request
from bench.errors import BenchError

SIZES = (0, 1, 125, 126, 640, 4800, 65_535)
THEIRS = {
    Opcode.TEXT: ServerProtocol.send_text,
    Opcode.BINARY: ServerProtocol.send_binary,
    Opcode.PING: ServerProtocol.send_ping,
}


def connected() -> ServerProtocol:
    """A server that has accepted."""
    server = ServerProtocol()
    server.receive_data(upgrade_request("127.0.0.1:1", "/v1/realtime?audio=binary"))
    (request,) = server.events_received()
    assert isinstance(request, Request)
    assert request.path == "/v1/realtime?audio=binary"
    server.send_response(server.accept(request))
    assert server.handshake_exc is None
    server.data_to_send()
    return server


def received(server: ServerProtocol) -> list[tuple[int, bytes]]:
    return [(event.opcode, bytes(event.data)) for event in server.events_received() if isinstance(event, Frame)]


@pytest.mark.parametrize("size", SIZES)
def test_a_server_understands_what_is_sent(size: int) -> None:
    server = connected()
    server.receive_data(outgoing(Opcode.BINARY, bytes(size)))
    assert received(server) == [(TheirOpcode.BINARY, bytes(size))]


MESSAGES = st.lists(
    st.tuples(st.sampled_from((Opcode.TEXT, Opcode.BINARY)), st.sampled_from((*SIZES, 70_000)))
    | st.tuples(st.just(Opcode.PING), st.integers(0, 125)),
    max_size=6,
)


# 70000 bytes one by one take a while on a busy machine.
@settings(deadline=None)
@given(MESSAGES, st.integers(1, 9000))
def test_what_a_server_sends_is_understood_however_it_is_cut(messages: list[tuple[Opcode, int]], cut: int) -> None:
    server = connected()
    for opcode, size in messages:
        THEIRS[opcode](server, b"x" * size)
    sent = b"".join(server.data_to_send())
    incoming = Incoming()
    arrived = [one for at in range(0, len(sent), cut) for one in incoming.feed(sent[at : at + cut])]
    kept = [(opcode, size, b"" if opcode is Opcode.BINARY else b"x" * size) for opcode, size in messages]
    assert arrived == [Arrived(*one) for one in kept]


def test_a_message_in_fragments_is_no_result() -> None:
    server = connected()
    server.send_text(b"half", fin=False)
    with pytest.raises(BenchError, match="fragments"):
        Incoming().feed(b"".join(server.data_to_send()))
