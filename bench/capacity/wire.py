"""As much of WebSocket as a client needs that must cost less than the server it measures."""

import enum
from dataclasses import dataclass

from bench.errors import BenchError

__all__ = ["Arrived", "Incoming", "Opcode", "outgoing", "upgrade_request"]

_FINAL = 0x80
_MASKED = 0x80
_NO_MASK = bytes(4)
"""A client must mask what it sends; nobody says that the mask must not be zeros."""
_LONG, _VERY_LONG = 126, 127


class Opcode(enum.IntEnum):
    """What a message is."""

    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


@dataclass(frozen=True, slots=True)
class Arrived:
    """One whole message. Of sound, which is only counted, `payload` is empty."""

    opcode: Opcode
    size: int
    payload: bytes = b""


def upgrade_request(host: str, path: str) -> bytes:
    """What a client sends first."""
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def outgoing(opcode: Opcode, payload: bytes) -> bytes:
    """A client's message of at most 65535 bytes."""
    if len(payload) < _LONG:
        head = bytes((_FINAL | opcode, _MASKED | len(payload)))
    else:
        head = bytes((_FINAL | opcode, _MASKED | _LONG)) + len(payload).to_bytes(2, "big")
    return head + _NO_MASK + payload


class Incoming:
    """A server's bytes in, whole messages out."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, piece: bytes) -> list[Arrived]:
        """The messages completed by `piece`. Raises `BenchError` for a message in fragments, which no server of
        ours sends."""
        pending = self._pending
        pending += piece
        arrived = []
        at = 0
        while (body := _body(pending, at)) is not None and body.stop <= len(pending):
            if not pending[at] & _FINAL:
                raise BenchError("The server sent a message in fragments.")
            opcode = Opcode(pending[at] & 15)
            payload = b"" if opcode is Opcode.BINARY else bytes(pending[body])
            arrived.append(Arrived(opcode, body.stop - body.start, payload))
            at = body.stop
        if at:
            del pending[:at]
        return arrived


def _body(pending: bytearray, at: int) -> slice | None:
    """Where the payload of the message at `at` is, or will be; None while its head is not whole."""
    have = len(pending) - at
    if have < 2:
        return None
    size, start = pending[at + 1], at + 2
    if size >= _LONG:
        start += 8 if size == _VERY_LONG else 2
        if len(pending) < start:
            return None
        size = int.from_bytes(pending[at + 2 : start], "big")
    return slice(start, start + size)
