"""What makes a session the same one to its caller, on whichever engine it is."""

import secrets
from dataclasses import dataclass, field

from http_compat.narration import Narration

__all__ = ["SessionIdentity", "SessionNumbers"]


@dataclass(slots=True)
class SessionNumbers:
    """What is logged when a session ends."""

    answers: int = 0
    breaks: int = 0
    pictures_dropped: int = 0
    engines_lost: int = 0


@dataclass(slots=True)
class SessionIdentity:
    """Outlives the engine that a session began with."""

    id: str = field(default_factory=lambda: secrets.token_hex(4))
    narration: Narration = field(default_factory=Narration)
    """Chunks are numbered through a whole duplex session."""
    numbers: SessionNumbers = field(default_factory=SessionNumbers)
    is_stopped: bool = False
    """Whether its caller said that the call is over, and nothing came since."""
