"""One TCP connection, before anything is known of who is at its other end."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["HEAD_WITHIN_S", "HttpConnection"]

HEAD_WITHIN_S = 30.0
"""For the head of a request, from its connection or from its first byte on."""

_UNSENT_BYTES = 64 * 1024
"""What may wait in front of a socket; asyncio's and uvloop's limit for connections without TLS."""


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
