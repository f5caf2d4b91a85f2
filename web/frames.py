"""What a client sends over a WebSocket, taken apart without the library where it is plain.

    FIN, masked, text or binary, of any length that is allowed   a message, unmasked
    FIN, masked, ping, pong, close                               its bytes, for the library
    anything else                                                its bytes and all that follow, for the library

The library takes a frame's head, its mask and its payload out of the stream one after the other, each through three
generators. Speech comes in whole small frames, fifty times a second, and needs none of that; what is rare, dangerous or
wrong is judged by the library alone, which then has seen no less of it than it needs.
"""

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

__all__ = ["BINARY", "TEXT", "PlainFrames"]

TEXT, BINARY = 0x81, 0x82
"""First byte of a whole message."""
_CLOSE, _PING, _PONG = 0x88, 0x89, 0x8A
_PLAIN = frozenset({TEXT, BINARY})
_CONTROL = frozenset({_CLOSE, _PING, _PONG})
_LARGEST_CONTROL = 125
_MASKED = 0x80
_TWO_BYTES = _MASKED | 126
_MASK_BYTES = 4


class PlainFrames:
    """Pieces of one client's stream in, in any lengths; whole frames out, in order.

    Holds back at most one frame of `largest` bytes that is not whole yet.
    """

    def __init__(self, largest: int) -> None:
        """`largest`: bytes of a payload; what promises more is left to the library, which refuses it."""
        self._largest = largest
        self._pending = bytearray()
        self._needed = 0
        self._gives_up = False

    def push(self, piece: bytes) -> list[tuple[int, bytes]]:
        """The frames completed by `piece`: `TEXT` or `BINARY` with the payload, or 0 with bytes for the library."""
        if self._gives_up:
            return [(0, piece)]
        if self._pending:
            self._pending += piece
            if len(self._pending) < self._needed:
                return []
            piece = bytes(self._pending)
            self._pending.clear()
        frames: list[tuple[int, bytes]] = []
        at = 0
        while at < len(piece) and (end := self._take(piece, at, frames)) is not None:
            at = end
        self._pending += piece[at:]
        return frames

    def _take(self, stream: bytes, at: int, frames: list[tuple[int, bytes]]) -> int | None:
        """Move the frame that begins at `at` to `frames`. Returns where it ends, or None while it is not whole."""
        first, size, start = _head(stream, at)
        most = self._largest if first in _PLAIN else _LARGEST_CONTROL if first in _CONTROL else -1
        if size > most:
            return self._give_up(stream, at, frames)
        end = start + size
        self._needed = end - at
        if end > len(stream):
            return None
        if first in _PLAIN:
            frames.append((first, apply_mask(stream[start:end], stream[start - _MASK_BYTES : start])))
            return end
        if first == _CLOSE:
            return self._give_up(stream, at, frames)
        frames.append((0, stream[at:end]))
        return end

    def _give_up(self, stream: bytes, at: int, frames: list[tuple[int, bytes]]) -> int:
        self._gives_up = True
        frames.append((0, stream[at:]))
        return len(stream)


def _head(stream: bytes, at: int) -> tuple[int, int, int]:
    """First byte of the frame at `at`, or 0 when it is not masked; bytes of its payload, and where that begins.

    Of a head that is not whole yet: no bytes, and where they would begin, which is beyond the end of `stream`.
    """
    have = len(stream) - at
    if have < 2:
        return stream[at], 0, at + 2 + _MASK_BYTES
    second = stream[at + 1]
    if second < _MASKED:
        return 0, 0, at
    if second < _TWO_BYTES:
        return stream[at], second - _MASKED, at + 2 + _MASK_BYTES
    wide = 2 if second == _TWO_BYTES else 8
    size = int.from_bytes(stream[at + 2 : at + 2 + wide], "big") if have >= 2 + wide else 0
    return stream[at], size, at + 2 + wide + _MASK_BYTES
