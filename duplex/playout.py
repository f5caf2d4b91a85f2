"""What the user has actually heard, and when the next piece may leave."""

__all__ = ["Pacer", "PlayoutClock"]


class PlayoutClock:
    """Estimates how far the client has played one response.

    Without reports it assumes that playing starts when the first piece is sent and stops whenever the client runs dry.
    A report (`acknowledge`) replaces the estimate. Durations and times are seconds.
    """

    def __init__(self) -> None:
        self._sent_s = 0.0
        self._ends_at = float("-inf")
        self._held_at: float | None = None

    @property
    def sent_s(self) -> float:
        """How much of the response was sent."""
        return self._sent_s

    @property
    def ends_at(self) -> float:
        """When the client will have played all that was sent; minus infinity before the first piece.

        Infinity while it is held with something left to play.
        """
        held = self._held_at is not None and self._ends_at > self._held_at
        return float("inf") if held else self._ends_at

    def is_dry(self, now: float) -> bool:
        """Has the client played all it was sent, or was it sent nothing?"""
        return self._ends_at <= self._played_until(now)

    def hold(self, now: float) -> None:
        """The client stops playing and keeps what it has."""
        if self._held_at is None:
            self._held_at = now

    def release(self, now: float) -> None:
        """The client plays on where it stopped. Nothing when it was not held."""
        if self._held_at is not None:
            self._ends_at += max(0.0, now - self._held_at) if self._ends_at > self._held_at else 0.0
            self._held_at = None

    def sent(self, duration_s: float, now: float) -> None:
        """A piece of `duration_s` left."""
        self._sent_s += duration_s
        self._ends_at = max(self._ends_at, self._played_until(now)) + duration_s

    def acknowledge(self, played_s: float, now: float) -> None:
        """The client reports that it has played `played_s`. What it cannot have played is clamped."""
        self._ends_at = self._played_until(now) + self._sent_s - min(max(played_s, 0.0), self._sent_s)

    def played_s(self, now: float) -> float:
        """How much of the response the user has heard."""
        return max(0.0, self._sent_s - max(0.0, self._ends_at - self._played_until(now)))

    def _played_until(self, now: float) -> float:
        """The clock of the client's loudspeaker, which stands while it is held."""
        return now if self._held_at is None else min(now, self._held_at)


class Pacer:
    """Holds audio back so that at most `lead_s` of it is ahead of real time.

    Kernel buffers cannot be recalled: what is sent is what will be heard, so little may be sent early.
    """

    def __init__(self, lead_s: float) -> None:
        self._lead_s = lead_s
        self._ends_at = float("-inf")

    def due_at(self, duration_s: float) -> float:
        """When a piece of `duration_s` may leave; minus infinity for at once."""
        return self._ends_at + duration_s - self._lead_s

    def sent(self, duration_s: float, now: float) -> None:
        """A piece left. After a pause real time starts again from here."""
        self._ends_at = max(self._ends_at, now) + duration_s

    def stood_still(self, seconds: float) -> None:
        """For so long nothing was sent and the client played nothing of what it had."""
        self._ends_at += seconds

    def reset(self) -> None:
        """The client threw its queue away: the next piece starts real time anew."""
        self._ends_at = float("-inf")
