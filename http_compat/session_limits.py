"""How long and how much one HTTP session may wait for."""

from dataclasses import dataclass

__all__ = ["SessionLimits"]


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How long each kind of waiting of one session may last, and how many may wait."""

    waiting_requests: int = 64
    tail_s: float = 0.5
    """For the end of a question whose answer was asked for already: the two are sent at the same moment."""
    pair_s: float = 0.15
    """The same for a second of duplex, and for callers that do not mark the end."""
    empty_step_s: float = 0.05
    """For the first event of a duplex step that the engine says is over."""
    silent_steps: int = 120
    """How many seconds of silence in a row the model may speak into while its caller waits for the end."""
    keep_open_idle_s: float = 30.0
    """After so long without sound, a stream that is kept open ends."""
