"""The time at which a frame was sent, hidden in its sound: a few faint samples that no detector takes for speech."""

from array import array

from duplex.audio import SAMPLE_BYTES

__all__ = ["STAMP_BYTES", "age_us", "read_stamp", "stamp"]

_MARK = array("h", (1, -2, 3, -4, 5, -6, 7, -8)).tobytes()
_DIGITS = 8
STAMP_BYTES = len(_MARK) + _DIGITS * SAMPLE_BYTES
"""What a stamp takes of the beginning of a frame."""
_WRAP = 1 << 4 * _DIGITS


def stamp(at_us: int) -> bytes:
    """The first samples of a frame that is sent at `at_us` microseconds of the monotonic clock: eight that say that the
    next eight hold its lowest 32 bits, four each."""
    return _MARK + array("h", (at_us >> 4 * place & 15 for place in range(_DIGITS))).tobytes()


def read_stamp(frame: bytes) -> int | None:
    """What `stamp` was told, modulo 2**32; None for a frame that has none."""
    if not frame.startswith(_MARK):
        return None
    return sum(digit << 4 * place for place, digit in enumerate(array("h", frame[len(_MARK) : STAMP_BYTES])))


def age_us(stamped_us: int, now_us: int) -> int:
    """How long ago that was, if it is less than an hour."""
    return (now_us - stamped_us) % _WRAP
