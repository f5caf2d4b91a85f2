"""Taking the answer out of what the microphone hears: what subtracts it.

Both are 16-bit mono PCM at `ECHO_RATE_HZ`.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

__all__ = ["ECHO_RATE_HZ", "EchoCanceller", "canceller_maker"]

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
