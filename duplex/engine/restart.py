"""When to start a failed engine again, how long to wait before it, and when to give up."""

from collections import deque
from dataclasses import dataclass

__all__ = ["RESTARTS_PER_HOUR", "RestartLimits", "RestartPolicy"]

RESTARTS_PER_HOUR = 12
"""Unless the operator says otherwise."""

_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class RestartLimits:
    """Bounds of the healing. A real model needs minutes to load, so a tight loop would only heat the room."""

    first_delay_s: float = 0.5
    """Wait before the first restart; doubles with each failure that follows soon."""
    max_delay_s: float = 30.0
    """Longest wait between two starts."""
    healthy_s: float = 60.0
    """An engine that was ready for this long has proved itself: the wait begins small again."""
    max_per_hour: int | None = RESTARTS_PER_HOUR
    """Restarts within any one hour; one more failure is final. None: never give up."""


class RestartPolicy:
    """Counts failures and answers each with a delay or with None for "give up".

    Times are seconds of one monotonic clock, and never go back from call to call.
    """

    def __init__(self, limits: RestartLimits | None = None) -> None:
        self._limits = limits or RestartLimits()
        self._restarts: deque[float] = deque()
        self._delay_s = self._limits.first_delay_s
        self._ready_at_s: float | None = None

    def record_ready(self, now_s: float) -> None:
        """The engine takes conversations from now on."""
        self._ready_at_s = now_s

    def record_failure(self, now_s: float) -> float | None:
        """The engine is gone: seconds to wait before starting it again, or None when the budget is spent."""
        while self._restarts and now_s - self._restarts[0] >= _HOUR_S:
            self._restarts.popleft()
        if self._ready_at_s is not None and now_s - self._ready_at_s >= self._limits.healthy_s:
            self._delay_s = self._limits.first_delay_s
        self._ready_at_s = None
        budget = self._limits.max_per_hour
        if budget is not None and len(self._restarts) >= budget:
            return None
        if budget is not None:
            self._restarts.append(now_s)
        delay_s = self._delay_s
        self._delay_s = min(self._delay_s * 2, self._limits.max_delay_s)
        return delay_s
