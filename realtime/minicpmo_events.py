"""The client events of the MiniCPM-o demo's realtime protocol as types. Unknown keys are ignored."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from duplex.errors import InvalidEvent
from realtime.validation import refusal

__all__ = ["CancelEvent", "DemoClientEvent", "SliceEvent", "StartEvent", "StopEvent", "parse_demo"]


class _Event(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Session(_Event):
    instructions: str | None = None
    ref_audio: str | None = None
    tts_ref_audio: str | None = None
    max_slice_nums: int | None = None
    voice_config: dict[str, Any] | None = None


class StartEvent(_Event):
    """Prepares the session, once."""

    type: Literal["session.update"]
    session: _Session


class SliceEvent(_Event):
    """What was heard and seen in about a second. `audio` is base64 of 32-bit float samples at 16 kHz."""

    type: Literal["input_audio_buffer.append"]
    audio: str
    video_frames: list[str] | None = None
    force_listen: bool = False
    max_slice_nums: int | None = None


class CancelEvent(_Event):
    """Be silent."""

    type: Literal["response.cancel"]


class StopEvent(_Event):
    """End the session."""

    type: Literal["session.close"]
    reason: str | None = None


DemoClientEvent = Annotated[StartEvent | SliceEvent | CancelEvent | StopEvent, Field(discriminator="type")]

_CLIENT_EVENT: TypeAdapter[DemoClientEvent] = TypeAdapter(DemoClientEvent)


def parse_demo(event: dict[str, Any]) -> DemoClientEvent:
    """Check one decoded JSON object. Raises `InvalidEvent` with the demo's code and the field's path."""
    try:
        return _CLIENT_EVENT.validate_python(event, strict=True)
    except ValidationError as error:
        refused = refusal(error, event)
    if refused.param == "type":
        code = "unknown_event"
    else:
        code = "missing_field" if refused.code == "missing_required_parameter" else "invalid_payload"
    raise InvalidEvent(str(refused), code=code, param=refused.param)
