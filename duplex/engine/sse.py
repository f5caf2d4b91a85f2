"""Server-sent events from a stream of bytes, cut anywhere."""

from duplex.errors import EngineRefused

__all__ = ["SseDecoder"]

_MAX_PENDING_BYTES = 1 << 20


class SseDecoder:
    """Bytes in, the `data` of whole events out.

    Fields other than `data` and comments are allowed and ignored, as the format demands. Lines may end in LF or CRLF.
    """

    def __init__(self, *, max_pending_bytes: int = _MAX_PENDING_BYTES) -> None:
        self._max_pending_bytes = max_pending_bytes
        self._line = bytearray()
        self._fields: list[str] = []
        self._fields_bytes = 0

    def feed(self, chunk: bytes) -> list[str]:
        """The events that `chunk` completes, in order.

        Raises EngineRefused when a line is not UTF-8 or an event grows over the limit without an end.
        """
        events: list[str] = []
        *whole, rest = chunk.split(b"\n")
        for piece in whole:
            self._line += piece
            event = self._end_of_line(bytes(self._line.removesuffix(b"\r")))
            self._line.clear()
            if event is not None:
                events.append(event)
        self._line += rest
        if len(self._line) + self._fields_bytes > self._max_pending_bytes:
            raise EngineRefused(f"an event of the engine's answer is longer than {self._max_pending_bytes} bytes")
        return events

    def close(self) -> None:
        """Say that the stream has ended.

        Raises EngineRefused when an event was cut in its middle.
        """
        if self._line or self._fields:
            raise EngineRefused("the engine's answer ended in the middle of an event")

    def _end_of_line(self, line: bytes) -> str | None:
        if not line:
            if not self._fields:
                return None
            event = "\n".join(self._fields)
            self._fields.clear()
            self._fields_bytes = 0
            return event
        name, _, field = line.partition(b":")
        if name == b"data":
            try:
                self._fields.append(field.removeprefix(b" ").decode())
            except UnicodeDecodeError:
                raise EngineRefused("the engine's answer is not UTF-8") from None
            self._fields_bytes += len(line)
        return None
