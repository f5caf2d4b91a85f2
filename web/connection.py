"""One TCP connection, before anything is known of who is at its other end."""

import asyncio

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode

from web.frames import BINARY, PlainFrames

__all__ = ["HEAD_WITHIN_S", "HttpConnection", "WebSocketConnection"]

HEAD_WITHIN_S = 30.0
"""For the head of a request, from its connection or from its first byte on."""

_UNSENT_BYTES = 64 * 1024
"""What may wait in front of a socket; asyncio's and uvloop's limit for connections without TLS."""

_MOST_WAITING = 16
"""Messages: a third of a second of speech. What one read of the socket brings on top waits as well."""

_LARGE_BYTES = 64 * 1024


class HttpConnection(H11Protocol):
    """Gives up a client that opens a connection and never says what for: each of those holds a file descriptor.

    Feels a client that stops reading as early with TLS as without: TLS's own buffers take eleven seconds of speech.
    """

    _given_up_at: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The connection is there, and encrypted if it is going to be."""
        transport.set_write_buffer_limits(high=_UNSENT_BYTES)
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """A piece of a head or of a body."""
        super().data_received(data)
        begun = self.cycle is None or self.conn.trailing_data[0]
        if self.conn.their_state is h11.IDLE and begun:
            self._wait_for_head()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self._given_up_at is None:
            self._given_up_at = self.loop.call_later(HEAD_WITHIN_S, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._given_up_at is not None:
            self._given_up_at.cancel()
            self._given_up_at = None


class WebSocketConnection(WebSocketsSansIOProtocol):
    """Takes plain messages from the socket by itself, and leaves all else to the library, with the same outcome.

    Stops reading when `_MOST_WAITING` messages wait for the application, or a large one, and goes on when it has taken
    them all: uvicorn does so around every message, which costs two system calls each.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._plain = PlainFrames(config.ws_max_size)

    def data_received(self, data: bytes) -> None:
        """A piece of the stream; the first one is the request to upgrade."""
        if not self.handshake_initiated:
            super().data_received(data)
            return
        for first, content in self._plain.push(data):
            if self.transport.is_closing():
                return
            if not first:
                super().data_received(content)
            elif not self.close_sent:
                self._deliver(first, content)

    def _deliver(self, first: int, content: bytes) -> None:
        if first == BINARY:
            self.queue.put_nowait({"type": "websocket.receive", "bytes": content})
        elif (text := _decoded(content)) is None:
            self.handle_text(Frame(Opcode.TEXT, content))
        else:
            self.queue.put_nowait({"type": "websocket.receive", "text": text})
        is_much = self.queue.qsize() >= _MOST_WAITING or len(content) > _LARGE_BYTES
        if is_much and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()


def _decoded(content: bytes) -> str | None:
    """None for what is not UTF-8: the library has the words for that."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None
