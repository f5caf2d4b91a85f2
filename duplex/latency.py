"""Where the time of one turn went."""

from collections.abc import Mapping

__all__ = ["TurnLatency"]


class TurnLatency:
    """Moments of one turn in seconds of one clock; None until they have come."""

    def __init__(self) -> None:
        self.asked_at: float | None = None
        """When the engine was asked for an answer (simplex)."""
        self.held_at: float | None = None
        """When the answer was last held."""
        self._speech_ended_at: float | None = None
        self._detected_at: float | None = None
        self._asked_itself = False
        self._opened_at = 0.0
        self._first: dict[str, float] = {}

    @property
    def has_output(self) -> bool:
        """Has anything of the newest response arrived?"""
        return bool(self._first)

    def speech_ended(self, at: float, now: float) -> None:
        """The last voiced frame arrived at `at`, and now it is known to have been the last."""
        self._speech_ended_at, self._detected_at = at, now

    def output(self, kind: str, now: float) -> None:
        """Something of the response arrived from the engine; only the first of each kind counts."""
        self._first.setdefault(kind, now)

    def open(self, now: float) -> None:
        """A response begins. In duplex nobody asked: the engine's first sign is the beginning."""
        self._first.clear()
        self._opened_at = now
        self._asked_itself = self.asked_at is None
        if self.asked_at is None:
            self.asked_at = now

    def take(self) -> Mapping[str, int]:
        """The stages that were measured, in ms, and forget the turn."""
        since = {"speech_end": self._speech_ended_at, "request": self.asked_at}
        stages = {
            f"{start}_to_first_{kind}_ms": _ms(began, at)
            for kind, at in self._first.items()
            for start, began in since.items()
            if began is not None
        }
        if self._speech_ended_at is not None and self._detected_at is not None:
            stages["speech_end_to_detected_ms"] = _ms(self._speech_ended_at, self._detected_at)
            if self.asked_at is not None and not self._asked_itself:
                stages["speech_end_to_request_ms"] = _ms(self._speech_ended_at, self.asked_at)
        self._speech_ended_at = self._detected_at = self.asked_at = self.held_at = None
        return stages

    def take_break(self, onset_at: float | None, now: float) -> Mapping[str, int]:
        """The same for a response that ends early now. `onset_at`: when the speech began that interrupts it, if any.

        What was said before the response began was no interruption.
        """
        held_at = self.held_at
        stages = dict(self.take())
        if onset_at is not None:
            onset_at = max(onset_at, self._opened_at)
            stages["onset_to_break_ms"] = _ms(onset_at, now)
            if held_at is not None and held_at >= onset_at:
                stages["onset_to_hold_ms"] = _ms(onset_at, held_at)
        return stages


def _ms(since: float, until: float) -> int:
    return round((until - since) * 1000)
