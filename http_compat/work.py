"""What the requests of a session ask for, and what they are answered with."""

import asyncio
from dataclasses import dataclass, field

from http_compat.frames import KeptFrame
from http_compat.reply import Reply

__all__ = ["Answer", "Hear", "Heard", "Upload"]


@dataclass(frozen=True, slots=True)
class Upload:
    """One prefill, decoded."""

    pcm: bytes | None
    """16-bit mono PCM at 16 kHz; None when no sound came."""
    image: bytes | None
    """A whole JPEG or PNG; None when no picture came."""
    audio_id: int | None = None
    """Which chunk of sound this belongs to, in high-refresh mode."""
    frame_index: int | None = None
    """Which picture of that chunk it is: 0 the main one, 1 to 4 those between."""
    is_last: bool = False
    """Whether the caller says that the question ends here."""
    marks_last: bool = False
    """Whether the caller says so at all."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of one prefill."""

    number: int
    """Which prefill of its round it was, from 0."""
    engine_ms: float
    """How long the engine took; 0 when the sound waits for more."""
    is_stacked: bool = False
    """Whether it went the way of the high-refresh mode."""
    kept: KeptFrame | None = None
    """A picture that waits for the sound it belongs to."""


@dataclass(slots=True)
class Hear:
    """Let the engine hear an upload."""

    upload: Upload
    result: asyncio.Future[Heard] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def succeed(self, heard: Heard) -> None:
        """It was heard. Its caller may have gone."""
        if not self.result.done():
            self.result.set_result(heard)

    def refuse(self, error: Exception) -> None:
        """It was not heard, or not all of it. Its caller may have gone."""
        if not self.result.done():
            self.result.set_exception(error)
            # Nobody may be left to look at it, which asyncio would complain about.
            self.result.exception()


@dataclass(frozen=True, slots=True)
class Answer:
    """Let the engine answer, into a reply."""

    reply: Reply
