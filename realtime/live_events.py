"""The client events of OpenAI's Live protocol as types, and what they may hold.

Unknown keys are accepted and kept, as in `realtime.events`. Known keys must have their type.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from realtime.validation import refusal

__all__ = [
    "CommentaryEvent",
    "ContextEvent",
    "LiveAppendEvent",
    "LiveAudio",
    "LiveAudioFormat",
    "LiveClientEvent",
    "LiveCloseEvent",
    "LiveUpdateEvent",
    "MuteEvent",
    "StartEvent",
    "UnmuteEvent",
    "parse_live",
]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class _Event(_Shape):
    event_id: str | None = None


class LiveAudioFormat(_Shape):
    """Which rates go with which type is the dialect's to say."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
    rate: int | None = None


class _Voice(_Shape):
    id: str


class _Output(_Shape):
    voice: str | _Voice | None = None


class LiveAudio(_Shape):
    """One format for both directions, chosen at the start."""

    format: LiveAudioFormat | None = None
    output: _Output | None = None


class _StartSession(_Shape):
    model: str
    audio: LiveAudio | None = None
    instructions: str | None = None
    input: list[dict[str, Any]] | None = None
    delegation: dict[str, Any] | None = None
    triggers: list[dict[str, Any]] | None = None


class StartEvent(_Event):
    """The first event of a connection."""

    type: Literal["session.start"]
    session: _StartSession


class _UpdateSession(_Shape):
    delegation: dict[str, Any] | None = None
    triggers: list[dict[str, Any]] | None = None


class LiveUpdateEvent(_Event):
    """Only what is not fixed at the start may change."""

    type: Literal["session.update"]
    session: _UpdateSession


class LiveAppendEvent(_Event):
    """`audio` is base64 of sound in the session's format."""

    type: Literal["session.input_audio.append"]
    audio: str


class MuteEvent(_Event):
    """The model hears silence from now on."""

    type: Literal["session.input_audio.mute"]


class UnmuteEvent(_Event):
    """The model hears the client again."""

    type: Literal["session.input_audio.unmute"]


class ContextEvent(_Event):
    """Text the model is to know, and need not say."""

    type: Literal["session.instructions.append", "session.thinking.append"]
    content: str
    delegation_id: str | None = None


class CommentaryEvent(_Event):
    """Text the model is to tell the user."""

    type: Literal["session.commentary.append"]
    content: str
    delegation_id: str | None = None


class LiveCloseEvent(_Event):
    """End the session in an orderly way."""

    type: Literal["session.close"]


LiveClientEvent = Annotated[
    StartEvent
    | LiveUpdateEvent
    | LiveAppendEvent
    | MuteEvent
    | UnmuteEvent
    | ContextEvent
    | CommentaryEvent
    | LiveCloseEvent,
    Field(discriminator="type"),
]

_CLIENT_EVENT: TypeAdapter[LiveClientEvent] = TypeAdapter(LiveClientEvent)


def parse_live(event: dict[str, Any]) -> LiveClientEvent:
    """Check one decoded JSON object. Raises `InvalidEvent` with OpenAI's code and the field's path."""
    try:
        return _CLIENT_EVENT.validate_python(event, strict=True)
    except ValidationError as error:
        raise refusal(error, event) from None
