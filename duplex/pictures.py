"""Pictures on their way to the model: which are whole, and which still wait to be seen."""

from collections import deque

from duplex.errors import InvalidEvent

__all__ = ["LONGEST_SIDE", "MOST_PICTURES_WAITING", "Pictures", "check_picture"]

LONGEST_SIDE = 16_384
"""Pixels. What is larger is taken for a bomb and not for a picture."""

MOST_PICTURES_WAITING = 4

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_NO_FRAME_HEADER = {0xC4, 0xC8, 0xCC}
"""Tables and extensions among the markers that otherwise announce the size of a JPEG."""


class Pictures:
    """Those that were shown and not yet seen. Beyond `limit` the oldest leaves."""

    def __init__(self, limit: int) -> None:
        self._waiting: deque[bytes] = deque(maxlen=limit)

    def show(self, picture: bytes) -> None:
        """Add the newest."""
        self._waiting.append(picture)

    def take(self) -> list[bytes]:
        """All that wait, oldest first."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken


def check_picture(content: bytes, param: str) -> bytes:
    """Return a whole JPEG or PNG as it is. Raises `InvalidEvent` for anything else.

    Only its frame is looked at, no pixel: that would take milliseconds, and the engine does it anyway.
    """
    if content.startswith(_JPEG):
        size, whole = _jpeg_size(content), content.rstrip(b"\0").endswith(b"\xff\xd9")
    elif content.startswith(_PNG):
        size, whole = _png_size(content), content.endswith(b"IEND\xae\x42\x60\x82")
    else:
        raise InvalidEvent(f"Invalid value for '{param}': it is neither a JPEG nor a PNG.", param=param)
    if size is None or not whole:
        raise InvalidEvent(f"Invalid value for '{param}': the picture is damaged or cut short.", param=param)
    if not all(1 <= side <= LONGEST_SIDE for side in size):
        limit = f"a side of {LONGEST_SIDE} pixels is the longest"
        raise InvalidEvent(f"Invalid value for '{param}': {size[0]}x{size[1]}, and {limit}.", param=param)
    return content


def _png_size(content: bytes) -> tuple[int, int] | None:
    if content[12:16] != b"IHDR" or len(content) < 24:
        return None
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Walk over the segments to the first that tells a size."""
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME_HEADER:
            return int.from_bytes(content[at + 7 : at + 9], "big"), int.from_bytes(content[at + 5 : at + 7], "big")
        # A filler byte stands alone; every other segment before the size tells its length.
        at += 1 if marker == 0xFF else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None
