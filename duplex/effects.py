"""What a conversation wants done. `DuplexSession` performs effects in the order they were returned."""

from dataclasses import dataclass

from duplex.messages import ServerMessage

__all__ = ["Decode", "Effect", "EngineCommand", "Flush", "Hold", "Interrupt", "Prefill", "Release", "Say", "Speak"]


@dataclass(frozen=True, slots=True)
class Say:
    """Send ahead of all queued audio."""

    message: ServerMessage


@dataclass(frozen=True, slots=True)
class Speak:
    """Send in order with the audio of the responses."""

    generation: int
    message: ServerMessage


@dataclass(frozen=True, slots=True)
class Hold:
    """Let nothing more leave in order with the audio, and keep all of it."""


@dataclass(frozen=True, slots=True)
class Release:
    """Go on where `Hold` stopped. `client_waited`: the client stopped playing too."""

    client_waited: bool


@dataclass(frozen=True, slots=True)
class Flush:
    """Drop everything queued that is no longer admitted."""


@dataclass(frozen=True, slots=True)
class Prefill:
    """Let the engine hear `pcm` (16 kHz) and see `image`, a whole JPEG or PNG. Either may be missing, not both."""

    pcm: bytes
    image: bytes | None = None


@dataclass(frozen=True, slots=True)
class Decode:
    """Let the engine think and speak."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Break the engine; see `Engine.interrupt`."""

    forget: bool


EngineCommand = Prefill | Decode | Interrupt

Effect = Say | Speak | Hold | Release | Flush | EngineCommand
