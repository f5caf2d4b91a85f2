"""Taking the answer out of what the microphone hears: the sound that plays, and what subtracts it.

Both are 16-bit mono PCM at `ECHO_RATE_HZ`.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from duplex.audio import SAMPLE_BYTES
from duplex.resample import Quality, StreamResampler

__all__ = ["ECHO_RATE_HZ", "EchoCanceller", "FarSound", "canceller_maker"]

ECHO_RATE_HZ = 16_000


class EchoCanceller(Protocol):
    """Hears both sides without a gap, in order, and learns the room between them."""

    def clean(self, near: bytes, far: bytes) -> bytes:
        """The microphone without the answer. `far` is what played meanwhile, as long as `near`; so is the result."""
        ...


class WebRtcCanceller:
    """WebRTC's AEC3, from the package `pywebrtc-audio`. It finds delays of up to 500 ms by itself."""

    def __init__(self) -> None:
        # Only here, because it is an extra.
        from pywebrtc_audio import EchoCanceller as Aec3  # noqa: PLC0415

        self._aec3 = Aec3(sample_rate=ECHO_RATE_HZ)

    def clean(self, near: bytes, far: bytes) -> bytes:
        """See `EchoCanceller.clean`."""
        cleaned: bytes = self._aec3.process(np.frombuffer(near, np.int16), np.frombuffer(far, np.int16)).tobytes()
        return cleaned


def canceller_maker() -> Callable[[], EchoCanceller]:
    """What makes one canceller for each session. Raises `ImportError` when the package is not installed."""
    WebRtcCanceller()
    return WebRtcCanceller


class FarSound:
    """What the client plays, sample by sample, along the estimate of how far it has come.

    The estimate jitters and an echo canceller hates jumps. So it is read on without a gap, and only moved when the
    estimate has gone away from it by more than `_TOLERANCE`.
    """

    _TOLERANCE = 60 * ECHO_RATE_HZ // 1000
    """A canceller follows what is less."""
    _KEPT = 2 * ECHO_RATE_HZ

    def __init__(self) -> None:
        self._resampler = StreamResampler(ECHO_RATE_HZ, ECHO_RATE_HZ, Quality.FAST)
        self._sound = bytearray()
        self._start = 0
        self._cursor = 0
        self._position = 0

    def begin(self, rate_hz: int) -> None:
        """A new response plays, at this rate."""
        self._resampler = StreamResampler(rate_hz, ECHO_RATE_HZ, Quality.FAST)
        self._sound.clear()
        self._start = self._cursor = self._position = 0

    def sent(self, pcm: bytes) -> None:
        """The next piece of the response left."""
        self._sound += self._resampler.push(pcm)

    def read(self, samples: int, position_s: float) -> bytes:
        """What played during the last `samples`, now that the client has come to `position_s`; zeros if it stands."""
        position = round(position_s * ECHO_RATE_HZ)
        if position == self._position:
            return bytes(samples * SAMPLE_BYTES)
        self._position = position
        if abs(position - samples - self._cursor) > self._TOLERANCE:
            self._cursor = max(self._start, position - samples)
        first = (self._cursor - self._start) * SAMPLE_BYTES
        piece = bytes(self._sound[first : first + samples * SAMPLE_BYTES])
        self._cursor += samples
        self._forget()
        return piece.ljust(samples * SAMPLE_BYTES, b"\0")

    def _forget(self) -> None:
        excess = self._cursor - self._KEPT - self._start
        if excess > 0:
            del self._sound[: excess * SAMPLE_BYTES]
            self._start += excess
