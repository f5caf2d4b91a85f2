"""The client events of docs/protocol.md as types, and what they may hold.

Unknown keys are accepted and kept: clients send more than any one server knows. Known keys must have their type.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from duplex.errors import InvalidEvent
from realtime.items import AnyItem, FunctionCallItem, FunctionCallOutputItem, Item, MessageItem
from realtime.session_shape import MaxTokens
from realtime.validation import refusal

__all__ = [
    "AppendEvent",
    "CancelEvent",
    "ClearEvent",
    "ClientEvent",
    "CloseEvent",
    "CommitEvent",
    "CreateEvent",
    "CreateItemEvent",
    "DeleteItemEvent",
    "EventAckEvent",
    "HeartbeatEvent",
    "OutputClearEvent",
    "PlaybackAckEvent",
    "ResponseWish",
    "ResumeEvent",
    "RetrieveItemEvent",
    "TruncateItemEvent",
    "UpdateEvent",
    "parse",
]

MetadataKey = Annotated[str, Field(max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]
_BY_TYPE = Field(discriminator="type")


class _Event(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    event_id: str | None = None


class UpdateEvent(_Event):
    """`session` is merged into the session in force."""

    type: Literal["session.update"]
    session: dict[str, Any]


class AppendEvent(_Event):
    """`audio` is base64 of sound in the session's input format, `video_frames` of JPEGs seen meanwhile."""

    type: Literal["input_audio_buffer.append"]
    audio: str
    video_frames: list[str] | None = None


class CommitEvent(_Event):
    """What was said is the next input."""

    type: Literal["input_audio_buffer.commit"]


class ClearEvent(_Event):
    """Forget what was not committed."""

    type: Literal["input_audio_buffer.clear"]


class CreateItemEvent(_Event):
    """`item` goes behind `previous_item_id`: the last one without it, the first place for "root"."""

    type: Literal["conversation.item.create"]
    previous_item_id: str | None = None
    item: Item


class RetrieveItemEvent(_Event):
    """Show an item."""

    type: Literal["conversation.item.retrieve"]
    item_id: str


class TruncateItemEvent(_Event):
    """The user has heard only so much of an answer."""

    type: Literal["conversation.item.truncate"]
    item_id: str
    content_index: Annotated[int, Field(ge=0)]
    audio_end_ms: Annotated[int, Field(ge=0)]


class DeleteItemEvent(_Event):
    """Forget an item."""

    type: Literal["conversation.item.delete"]
    item_id: str


class _Reference(BaseModel):
    """An item that is in the conversation already."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Literal["item_reference"]
    id: str


class ResponseWish(BaseModel):
    """What an answer should be like. Of this the engine can honour the sound and pictures of `input`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    metadata: Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)] | None = None
    input: list[Annotated[MessageItem | FunctionCallItem | FunctionCallOutputItem | _Reference, _BY_TYPE]] | None = None
    instructions: str | None = None
    conversation: str | None = None
    output_modalities: list[Literal["text", "audio"]] | None = None
    audio: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    max_output_tokens: MaxTokens | None = None

    @property
    def items(self) -> list[AnyItem]:
        """Those of `input` that are new."""
        return [item for item in self.input or [] if not isinstance(item, _Reference)]


class CreateEvent(_Event):
    """Answer now."""

    type: Literal["response.create"]
    response: ResponseWish | None = None

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


class ResumeEvent(_Event):
    """Go on with a session another socket has lost; the first event on a connection with `resume=1`."""

    type: Literal["session.resume"]
    session_id: str
    resume_token: str
    last_received_server_event_seq: Annotated[int, Field(ge=0)] = 0


class EventAckEvent(_Event):
    """Everything up to this number was received."""

    type: Literal["session.event_ack"]
    server_event_seq: Annotated[int, Field(ge=0)]


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
    | CreateItemEvent
    | RetrieveItemEvent
    | TruncateItemEvent
    | DeleteItemEvent
    | OutputClearEvent
    | PlaybackAckEvent
    | HeartbeatEvent
    | ResumeEvent
    | EventAckEvent
    | CloseEvent,
    Field(discriminator="type"),
]

_CLIENT_EVENT: TypeAdapter[ClientEvent] = TypeAdapter(ClientEvent)


def parse(event: object) -> ClientEvent:
    """Check one decoded JSON value. Raises `InvalidEvent` with OpenAI's code and the field's path."""
    if not isinstance(event, dict):
        raise InvalidEvent("An event must be a JSON object.", code="invalid_type")
    try:
        return _CLIENT_EVENT.validate_python(event, strict=True)
    except ValidationError as error:
        raise refusal(error, event) from None
