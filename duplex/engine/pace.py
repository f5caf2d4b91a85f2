"""How fast the vocoder renders, so that silence is not taken for the end while a slow machine still works.

A window takes 0.15 to 0.45 s on a GPU and seconds on a busy CPU. Nothing tells from outside that the vocoder is idle,
so the wait for "nothing more comes" grows with the slowest of its last windows.
"""

from collections import deque

__all__ = ["RenderPace"]

_REMEMBERED = 6
_MARGIN = 2.0
_UNKNOWN_MARGIN = 4.0


class RenderPace:
    """Times of one vocoder's windows. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._windows_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._due_at: float | None = None

    def receive_due(self, now: float, *, is_due: bool) -> None:
        """Whether the vocoder has a window to render, looked at often."""
        if not is_due:
            self._due_at = None
        elif self._due_at is None:
            self._due_at = now

    def receive_wav(self, now: float) -> None:
        """A window was rendered."""
        if self._due_at is not None:
            self._windows_s.append(now - self._due_at)
            self._due_at = now

    def quiet_s(self, least_s: float, *, is_due: bool) -> float:
        """How long to wait for a file that may not come, at least `least_s`."""
        if self._windows_s:
            return max(least_s, _MARGIN * max(self._windows_s))
        return _UNKNOWN_MARGIN * least_s if is_due else least_s
