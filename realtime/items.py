"""Items that a client puts into the conversation: what they may hold, and what of it the model can hear or see."""

import binascii
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from duplex.errors import InvalidAudio, InvalidEvent
from duplex.messages import HearClip, Request, ShowPicture
from duplex.pictures import check_picture
from realtime.validation import missing

__all__ = [
    "Item",
    "MessageItem",
    "decode_base64",
    "decode_picture",
    "perceived",
    "pictures",
    "speaks_only_text",
    "stored",
]

LONGEST_CLIP_S = 30

_CONTENT_OF: Mapping[str, Mapping[str, str | None]] = {
    "user": {"input_text": "text", "input_audio": None, "input_image": "image_url"},
    "system": {"input_text": "text"},
    "assistant": {"output_text": "text", "output_audio": None, "text": "text", "audio": None},
}
"""Which content each role may have, and which key it cannot do without."""

_GA_NAME = {"text": "output_text", "audio": "output_audio"}


class _Shape(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class _Item(_Shape):
    id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    object: Literal["realtime.item"] | None = None
    status: Literal["completed", "incomplete", "in_progress"] | None = None


class Content(_Shape):
    """A part of a message. Which keys count depends on `type`."""

    type: Literal["input_text", "input_audio", "input_image", "output_text", "output_audio", "text", "audio"]
    text: str | None = None
    audio: str | None = None
    transcript: str | None = None
    image_url: str | None = None
    detail: Literal["auto", "low", "high"] | None = None


class MessageItem(_Item):
    """Something said, written or shown."""

    type: Literal["message"]
    role: Literal["user", "assistant", "system"]
    content: list[Content]


class FunctionCallItem(_Item):
    """A call that the client says was made."""

    type: Literal["function_call"]
    name: str
    arguments: str
    call_id: str | None = None


class FunctionCallOutputItem(_Item):
    """The result of a call, as text."""

    type: Literal["function_call_output"]
    call_id: str
    output: str


AnyItem = MessageItem | FunctionCallItem | FunctionCallOutputItem
Item = Annotated[AnyItem, Field(discriminator="type")]


def speaks_only_text(item: AnyItem) -> bool:
    """Is it something to answer of which this engine would notice nothing?"""
    if isinstance(item, MessageItem):
        kinds = {part.type for part in item.content}
        return item.role == "user" and "input_text" in kinds and not kinds & {"input_audio", "input_image"}
    return isinstance(item, FunctionCallOutputItem)


def perceived(
    item: AnyItem,
    param: str,
    decode_sound: Callable[[str, str], bytes],
    rate_hz: int,
) -> list[Request]:
    """Its sound and pictures. Raises `InvalidEvent` or `InvalidAudio` naming the field below `param`.

    `decode_sound` takes base64 in the session's format and the field's name, and gives PCM at `rate_hz`.
    """
    if not isinstance(item, MessageItem):
        return []
    requests: list[Request] = []
    for number, part in enumerate(item.content):
        place = f"{param}.content[{number}]"
        _check(item.role, part, place)
        if part.type == "input_image" and part.image_url is not None:
            requests.append(ShowPicture(decode_picture(part.image_url, f"{place}.image_url")))
        elif part.type == "input_audio" and part.audio is not None:
            pcm = decode_sound(part.audio, f"{place}.audio")
            if len(pcm) > LONGEST_CLIP_S * rate_hz * 2:
                raise InvalidAudio(f"A recording may last {LONGEST_CLIP_S} s at most.", param=f"{place}.audio")
            requests.append(HearClip(pcm))
    return requests


def _check(role: str, part: Content, place: str) -> None:
    allowed = _CONTENT_OF[role]
    if part.type not in allowed:
        raise InvalidEvent(
            f"Invalid value for '{place}.type': a message of role '{role}' holds {' or '.join(allowed)}.",
            param=f"{place}.type",
        )
    needed = allowed[part.type]
    if needed is not None and getattr(part, needed) is None:
        raise missing(f"{place}.{needed}")


def stored(item: AnyItem, item_id: str) -> dict[str, Any]:
    """The item as it is kept and shown: with an id, and without the sound and the pictures themselves."""
    kept = item.model_dump(exclude_none=True)
    if isinstance(item, MessageItem):
        kept["content"] = list(map(_without_payload, kept["content"]))
    return {**kept, "id": item_id, "object": "realtime.item", "status": "completed"}


def _without_payload(part: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in part.items() if key not in {"audio", "image_url"}}
    return {**kept, "type": _GA_NAME.get(part["type"], part["type"])}


def decode_picture(text: str, param: str) -> bytes:
    """Base64 of a JPEG or PNG, alone or in a `data:` address. Raises `InvalidEvent`."""
    if text[:5] == "data:":
        head, comma, text = text.partition(",")
        if not comma or not head.endswith(";base64"):
            raise InvalidEvent(f"Invalid value for '{param}': its data is not base64.", param=param)
    elif text[:4] == "http":
        raise InvalidEvent(
            f"Invalid value for '{param}': this server fetches nothing; send the picture itself as a data: address.",
            param=param,
        )
    return check_picture(decode_base64(text, param), param)


def decode_base64(text: str, param: str) -> bytes:
    """The bytes of standard base64. Raises `InvalidAudio`, which says the same of anything, naming the field."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        # binascii.Error is one too, and so is what characters beyond ASCII raise.
        raise InvalidAudio(f"'{param}' is not valid base64.", param=param) from None


def pictures(frames: list[str]) -> Iterator[Request]:
    """What came as `video_frames` beside a piece of sound. Raises `InvalidEvent`."""
    for number, frame in enumerate(frames):
        yield ShowPicture(decode_picture(frame, f"video_frames[{number}]"))
