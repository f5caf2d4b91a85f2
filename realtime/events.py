"""The client events of docs/protocol.md as types, and what they may hold.

Unknown keys are accepted and kept: clients send more than any one server knows. Known keys must have their type.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from duplex.errors import InvalidEvent

__all__ = [
    "AppendEvent",
    "AudioFormat",
    "CancelEvent",
    "ClearEvent",
    "ClientEvent",
    "CloseEvent",
    "CommitEvent",
    "CreateEvent",
    "HeartbeatEvent",
    "OutputClearEvent",
    "PlaybackAckEvent",
    "SessionShape",
    "TurnDetection",
    "UpdateEvent",
    "invalid_event",
    "parse",
    "parse_session",
]


class _Event(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    event_id: str | None = None


class UpdateEvent(_Event):
    """`session` is merged into the session in force."""

    type: Literal["session.update"]
    session: dict[str, Any]


class AppendEvent(_Event):
    """`audio` is base64 of PCM in the session's input format."""

    type: Literal["input_audio_buffer.append"]
    audio: str


class CommitEvent(_Event):
    """What was said is the next input."""

    type: Literal["input_audio_buffer.commit"]


class ClearEvent(_Event):
    """Forget what was not committed."""

    type: Literal["input_audio_buffer.clear"]


class _ResponseWish(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    metadata: dict[str, str] | None = None


class CreateEvent(_Event):
    """Answer now."""

    type: Literal["response.create"]
    response: _ResponseWish | None = None

    @property
    def metadata(self) -> Mapping[str, str]:
        """What is to be echoed with the response."""
        return (self.response and self.response.metadata) or {}


class CancelEvent(_Event):
    """Be silent."""

    type: Literal["response.cancel"]
    response_id: str | None = None


class OutputClearEvent(_Event):
    """Be silent, if something is being said."""

    type: Literal["output_audio_buffer.clear"]


class PlaybackAckEvent(_Event):
    """The client has played `played_ms` of the response."""

    type: Literal["playback.ack"]
    response_id: str
    played_ms: Annotated[int, Field(ge=0)]


class HeartbeatEvent(_Event):
    """Keeps intermediaries awake; needs no answer."""

    type: Literal["session.heartbeat"]


class CloseEvent(_Event):
    """End the session in an orderly way."""

    type: Literal["session.close"]


ClientEvent = Annotated[
    UpdateEvent
    | AppendEvent
    | CommitEvent
    | ClearEvent
    | CreateEvent
    | CancelEvent
    | OutputClearEvent
    | PlaybackAckEvent
    | HeartbeatEvent
    | CloseEvent,
    Field(discriminator="type"),
]

_CLIENT_EVENT: TypeAdapter[ClientEvent] = TypeAdapter(ClientEvent)


class AudioFormat(BaseModel):
    """16-bit PCM at a rate; other encodings are refused."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Literal["audio/pcm"] = "audio/pcm"
    rate: int = 24_000


class TurnDetection(BaseModel):
    """Silence windows of `semantic_vad` stand for its eagerness: the detector here is acoustic."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Literal["server_vad", "semantic_vad"] = "server_vad"
    prefix_padding_ms: Annotated[int, Field(ge=0, le=5000)] = 300
    silence_duration_ms: Annotated[int, Field(ge=100, le=10_000)] = 600
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True
    threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    barge_in: Literal["eager", "balanced", "calm"] | None = None
    """None leaves it as it is."""
    interrupt_min_ms: Annotated[int, Field(ge=60, le=5000)] | None = None

    @property
    def hangover_ms(self) -> int:
        """How long silence must last before the turn is over."""
        if self.type == "server_vad":
            return self.silence_duration_ms
        return {"low": 2000, "medium": 800, "auto": 800, "high": 400}[self.eagerness]


class _Input(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    format: AudioFormat = AudioFormat()
    turn_detection: TurnDetection | None = None


class _Output(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    format: AudioFormat = AudioFormat()


class _Audio(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    input: _Input = _Input()
    output: _Output = _Output()


class SessionShape(BaseModel):
    """The part of a session that changes how we behave; the rest is kept and echoed."""

    model_config = ConfigDict(extra="allow", frozen=True)

    audio: _Audio = _Audio()


def parse(event: object) -> ClientEvent:
    """Check one decoded JSON value. Raises `InvalidEvent` with OpenAI's code and the field's path."""
    if not isinstance(event, dict):
        raise InvalidEvent("An event must be a JSON object.", code="invalid_type")
    try:
        return _CLIENT_EVENT.validate_python(event, strict=True)
    except ValidationError as error:
        # The first element of a path is the event's own type, which the client knows.
        raise invalid_event(error, skip=1) from None


def parse_session(session: Mapping[str, Any]) -> SessionShape:
    """Check a merged session. Raises `InvalidEvent` with the field's path below `session`."""
    try:
        return SessionShape.model_validate(session, strict=True)
    except ValidationError as error:
        raise invalid_event(error, prefix="session.") from None


def invalid_event(error: ValidationError, *, skip: int = 0, prefix: str = "") -> InvalidEvent:
    """The first thing that was wrong: OpenAI's code, and the field's path without its first `skip` elements."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if first["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        known = "it is missing" if first["type"] == "union_tag_not_found" else "it is not one this server knows"
        return InvalidEvent(f"Invalid value for 'type': {known}.", param="type")
    path = prefix + ".".join(str(part) for part in first["loc"][skip:])
    if first["type"] == "missing":
        return InvalidEvent(f"Missing required parameter: '{path}'.", code="missing_required_parameter", param=path)
    code = "invalid_type" if first["type"].endswith("_type") else "invalid_value"
    return InvalidEvent(f"Invalid value for '{path}': {first['msg']}.", code=code, param=path)
