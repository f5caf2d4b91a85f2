"""The engine port: what a conversation needs of a speech model, and nothing about how it is reached.

The one promise of every adapter: **after `EngineIdle`, nothing older than it will arrive.** So no engine
needs to know generations, and a conversation needs to know nothing about files, flags or mutexes.
"""

import enum
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

__all__ = [
    "ENGINE_INPUT_RATE_HZ",
    "ENGINE_OUTPUT_RATE_HZ",
    "Engine",
    "EngineAudio",
    "EngineEvent",
    "EngineIdle",
    "EngineListen",
    "EngineSession",
    "EngineText",
    "Mode",
]

ENGINE_INPUT_RATE_HZ = 16_000
ENGINE_OUTPUT_RATE_HZ = 24_000


class Mode(enum.StrEnum):
    """How turns are taken. Changing it costs the engine a new initialisation."""

    DUPLEX = "duplex"
    """The model hears one second at a time and decides after each whether to speak."""
    SIMPLEX = "simplex"
    """The model is prefilled while the user speaks and answers once when asked to."""


@dataclass(frozen=True, slots=True)
class EngineSession:
    """What one conversation asks of its engine."""

    mode: Mode
    vision: bool = True
    """Whether pictures will come. Without them the model is prompted for speech alone, and refuses pictures."""
    voice: bytes | None = None
    """A WAV of at most 30 s whose voice the model imitates; None means the engine's default voice. llama-server of
    llama.cpp-omni 0788f99 uses it in duplex only."""


@dataclass(frozen=True, slots=True)
class EngineText:
    """A piece of the answer's text, whole characters only."""

    text: str


@dataclass(frozen=True, slots=True)
class EngineAudio:
    """A piece of the answer's sound: 16-bit little-endian mono PCM at `ENGINE_OUTPUT_RATE_HZ`, not empty."""

    pcm: bytes
    name: str = field(default="", compare=False)
    """What the engine calls it, for logs."""
    made_s: float = field(default=0.0, compare=False)
    """When the engine had finished it, in seconds of the epoch; 0 when that is not known."""


@dataclass(frozen=True, slots=True)
class EngineListen:
    """Duplex only: after this chunk the model chose to stay silent."""


@dataclass(frozen=True, slots=True)
class EngineIdle:
    """The response is over and delivered, or broken and drained. Nothing older will arrive.

    `interrupted` tells the answer to `interrupt()` from a response that ended by itself.
    """

    interrupted: bool = False


EngineEvent = EngineText | EngineAudio | EngineListen | EngineIdle


class Engine(Protocol):
    """One speech model with one context. Calls are made one at a time, `events` runs beside them.

    Every call raises `EngineError` when the engine cannot go on; `events` raises it too, so that a silent
    session notices. Cancelling a call leaves the engine unusable until the next `begin`.
    """

    async def begin(self, session: EngineSession) -> None:
        """Forget everything and start a conversation. Returns when the engine is ready for audio."""
        ...

    async def prefill(self, pcm: bytes, *, image: bytes | None = None, slices: int = 1) -> None:
        """Let the model hear `pcm`: 16-bit mono at `ENGINE_INPUT_RATE_HZ`, 100 ms to 30 s.

        `image` is a whole JPEG or PNG shown together with the audio, or alone when there is none; the model sees up to
        `slices` tiles of it in more detail. Shorter audio is padded with silence to the next 100 ms. In simplex the
        first prefill after a response opens the next one's input.
        """
        ...

    async def decode(self) -> None:
        """Let the model think and speak: the whole answer in simplex, one step in duplex.

        Returns when the model's text is done; audio may follow. In simplex exactly one `EngineIdle(interrupted=False)`
        follows each decode that is not interrupted. In duplex one follows each spoken turn, which may span many
        decodes; a decode after which the model listens gives `EngineListen`.
        """
        ...

    async def interrupt(self, *, forget: bool = False) -> None:
        """End the response: drop its tail and return when nothing of it can arrive any more.

        Exactly one `EngineIdle(interrupted=True)` follows each call, also when nothing was running. `forget` starts the
        context anew (the model remembers nothing): the only cure for a model that goes on with a broken answer.
        """
        ...

    @property
    def context_fill(self) -> float:
        """How full the context is, 0 to 1; 0 where the engine makes room by itself. See `duplex.engine.context`."""
        ...

    async def renew(self) -> bool:
        """Go on in an empty context, where what was heard since the last response is heard again, 30 s of it at most.

        False, and nothing has happened, while a response or its sound is under way, and between a prefill and the next
        decode: ask again later.
        """
        ...

    def events(self) -> AsyncIterator[EngineEvent]:
        """Everything the engine says, in order, from `begin` to `finish`. One consumer."""
        ...

    async def finish(self) -> None:
        """End the conversation. `events` ends; the engine can `begin` again."""
        ...
