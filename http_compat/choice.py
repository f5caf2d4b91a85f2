"""What a caller chose when it opened its session."""

from dataclasses import dataclass

from duplex.engine.base import Mode

__all__ = ["SessionChoice"]


@dataclass(frozen=True, slots=True)
class SessionChoice:
    """The settings of one HTTP session."""

    mode: Mode
    vision: bool = True
    """False: the media type is sound alone."""
    high_quality: bool = False
    """Pictures are seen in more detail."""
    high_fps: bool = False
    """Pictures between two seconds are stacked into one."""
    voice: bytes | None = None
    """A WAV whose voice the model imitates."""
