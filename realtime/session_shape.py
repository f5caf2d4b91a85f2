"""What a session may hold. Unknown keys, voices and models are accepted; known keys must have their type.

Null stands for a key's default everywhere but in `turn_detection`, where it means push to talk.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from realtime.validation import refusal

__all__ = ["AudioFormat", "MaxTokens", "SessionShape", "TurnDetection", "parse_session"]

MaxTokens = Annotated[int, Field(ge=1)] | Literal["inf"]


class Shape(BaseModel):
    """Frozen, and open to keys it does not know."""

    model_config = ConfigDict(extra="allow", frozen=True)


class AudioFormat(Shape):
    """16-bit PCM at a rate, or G.711, whose rate is always 8000 Hz."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"] = "audio/pcm"
    rate: int | None = None


class TurnDetection(Shape):
    """Silence windows of `semantic_vad` stand for its eagerness: the detector here is acoustic."""

    type: Literal["server_vad", "semantic_vad"] = "server_vad"
    prefix_padding_ms: Annotated[int, Field(ge=0, le=5000)] = 300
    silence_duration_ms: Annotated[int, Field(ge=100, le=10_000)] = 600
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True
    threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    idle_timeout_ms: Annotated[int, Field(ge=5000, le=30_000)] | None = None
    barge_in: Literal["eager", "balanced", "calm"] | None = None
    """None leaves it as it is."""
    interrupt_min_ms: Annotated[int, Field(ge=60, le=5000)] | None = None

    @property
    def hangover_ms(self) -> int:
        """How long silence must last before the turn is over."""
        if self.type == "server_vad":
            return self.silence_duration_ms
        return {"low": 2000, "medium": 800, "auto": 800, "high": 400}[self.eagerness]


class Transcription(Shape):
    """Echoed: this engine writes down only what it says itself."""

    model: str | None = None
    language: str | None = None
    prompt: str | None = None


class NoiseReduction(Shape):
    """Echoed: the detector follows the room by itself."""

    type: str | None = None


class Input(Shape):
    """The user's side."""

    format: AudioFormat | None = None
    transcription: Transcription | None = None
    noise_reduction: NoiseReduction | None = None
    turn_detection: TurnDetection | None = None


class Output(Shape):
    """The assistant's side."""

    format: AudioFormat | None = None
    voice: str | dict[str, Any] | None = None
    speed: Annotated[float, Field(ge=0.25, le=1.5)] | None = None


class Audio(Shape):
    """Both sides."""

    input: Input | None = None
    output: Output | None = None


class SessionShape(Shape):
    """The part of a session that OpenAI's clients send and expect back."""

    type: Literal["realtime"] | None = None
    model: str | None = None
    instructions: str | None = None
    output_modalities: list[Literal["text", "audio"]] | None = None
    audio: Audio | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    max_output_tokens: MaxTokens | None = None
    truncation: str | dict[str, Any] | None = None
    tracing: str | dict[str, Any] | None = None
    include: list[str] | None = None
    prompt: dict[str, Any] | None = None


def parse_session(session: Mapping[str, Any]) -> SessionShape:
    """Check a session or an update of one. Raises `InvalidEvent` with the field's path below `session`."""
    try:
        return SessionShape.model_validate(session, strict=True)
    except ValidationError as error:
        raise refusal(error, session, prefix="session") from None
