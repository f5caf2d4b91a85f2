"""What the server and a process that decodes for it say to each other over two pipes.

Bytes with their lengths and nothing else: what comes from the decoder is never made into objects, because it may have
been taken over by the file it reads.

    request   task, number of parts, then each part with its length
    answer    outcome, length, content
"""

import enum
import struct
from collections.abc import Callable, Sequence

__all__ = [
    "ANSWER_HEADER_BYTES",
    "READY",
    "Outcome",
    "Task",
    "pack_answer",
    "pack_request",
    "read_request",
    "unpack_answer_header",
]

_REQUEST = struct.Struct(">BB")
_LENGTH = struct.Struct(">I")
_ANSWER = struct.Struct(">BI")
ANSWER_HEADER_BYTES = _ANSWER.size


class Task(enum.IntEnum):
    """What is to be done with the parts of a request."""

    SOUND = 1
    """One part, a sound file, to PCM."""
    PICTURE = 2
    """One part, a picture, to JPEG or PNG."""
    STACK = 3
    """Pictures, to one JPEG."""


class Outcome(enum.IntEnum):
    """What came of it."""

    MADE = 1
    """The content is the result."""
    UNCHANGED = 2
    """The first part is the result as it is; no content."""
    REFUSED = 3
    """The content says why, in UTF-8, to whoever sent the parts."""
    TOO_BIG = 4
    """There was not enough memory; no content."""


def pack_answer(outcome: Outcome, content: bytes = b"") -> bytes:
    """An answer."""
    return _ANSWER.pack(outcome, len(content)) + content


READY = pack_answer(Outcome.MADE)
"""The first thing a decoder says, before it was asked anything."""


def unpack_answer_header(header: bytes) -> tuple[Outcome, int]:
    """Outcome and length of the content. Raises `ValueError` for an unknown outcome."""
    outcome, length = _ANSWER.unpack(header)
    return Outcome(outcome), length


def pack_request(task: Task, parts: Sequence[bytes]) -> list[bytes]:
    """A request, in pieces to be written one after the other; the parts are not copied."""
    pieces = [_REQUEST.pack(task, len(parts))]
    for part in parts:
        pieces += (_LENGTH.pack(len(part)), part)
    return pieces


def read_request(read: Callable[[int], bytes]) -> tuple[Task, list[bytes]] | None:
    """The next request from a pipe, None when the other end has gone. `read` returns as many bytes as it is asked for,
    or fewer at the end."""
    header = read(_REQUEST.size)
    if len(header) < _REQUEST.size:
        return None
    task, count = _REQUEST.unpack(header)
    parts: list[bytes] = []
    for _ in range(count):
        length = read(_LENGTH.size)
        if len(length) < _LENGTH.size:
            return None
        (size,) = _LENGTH.unpack(length)
        part = read(size)
        if len(part) < size:
            return None
        parts.append(part)
    return Task(task), parts
