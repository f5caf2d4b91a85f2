"""Where the time of one turn went."""

from collections.abc import Mapping

__all__ = ["TurnLatency"]


class TurnLatency:
    """Moments of one turn in seconds of one clock; None until they have come."""

    def __init__(self) -> None:
        self.speech_ended_at: float | None = None
        """When the last voiced frame arrived."""
        self.asked_at: float | None = None
        """When the engine was asked for an answer (simplex)."""
        self._first: dict[str, float] = {}

    @property
    def has_output(self) -> bool:
        """Has anything of the newest response arrived?"""
        return bool(self._first)

    def output(self, kind: str, now: float) -> None:
        """Something of the response arrived from the engine; only the first of each kind counts."""
        self._first.setdefault(kind, now)

    def open(self, now: float) -> None:
        """A response begins. In duplex nobody asked: the engine's first sign is the beginning."""
        self._first.clear()
        if self.asked_at is None:
            self.asked_at = now

    def take(self) -> Mapping[str, int]:
        """The stages that were measured, in ms, and forget the turn."""
        stages = {
            f"{start}_to_first_{kind}_ms": round((at - since) * 1000)
            for kind, at in self._first.items()
            for start, since in (("speech_end", self.speech_ended_at), ("request", self.asked_at))
            if since is not None
        }
        self.speech_ended_at = self.asked_at = None
        return stages
