"""Time as a value that is handed in."""

import time
from typing import Protocol

__all__ = ["Clock", "MonotonicClock", "ms_to_samples", "samples_to_ms", "samples_to_s"]


class Clock(Protocol):
    """A monotonic clock."""

    def now(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...


class MonotonicClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()


def samples_to_s(samples: int, rate_hz: int) -> float:
    """Duration of `samples` at `rate_hz`, in seconds."""
    return samples / rate_hz


def samples_to_ms(samples: int, rate_hz: int) -> int:
    """Duration of `samples` at `rate_hz`, in whole milliseconds, rounded down."""
    return samples * 1000 // rate_hz


def ms_to_samples(ms: int, rate_hz: int) -> int:
    """How many samples `ms` milliseconds are at `rate_hz`, rounded down."""
    return ms * rate_hz // 1000
