"""Every client event with every field missing, of the wrong type, or out of range: one error by name, and no more.

The table is made from the models: a field that is added there is asked for here, because `WHOLE` must have it.
"""

import json
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from realtime.events import ClientEvent
from realtime.session_shape import SessionShape
from tests.duplex.talk import simplex
from tests.realtime.wire import PIXEL, Wire, b64

PART = {"type": "input_image", "text": "t", "audio": "AAAA", "transcript": "t", "detail": "low"}
PART["image_url"] = f"data:image/png;base64,{PIXEL}"
MESSAGE = {"type": "message", "role": "user", "id": "item_m", "object": "realtime.item", "status": "completed"}
CALL = {**MESSAGE, "type": "function_call", "name": "n", "arguments": "{}", "call_id": "c"}
del CALL["role"]
OUTPUT = {**CALL, "type": "function_call_output", "output": "{}"}
del OUTPUT["name"], OUTPUT["arguments"]
SESSION: dict[str, Any] = {
    "type": "realtime",
    "model": "m",
    "instructions": "i",
    "output_modalities": ["audio"],
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": 10,
    "truncation": "auto",
    "tracing": "auto",
    "include": [],
    "prompt": {"id": "p"},
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24_000},
            "transcription": {"model": "whisper-1", "language": "en", "prompt": "p"},
            "noise_reduction": {"type": "near_field"},
            "turn_detection": {
                "type": "server_vad",
                "prefix_padding_ms": 300,
                "silence_duration_ms": 500,
                "eagerness": "auto",
                "create_response": True,
                "interrupt_response": True,
                "threshold": 0.5,
                "idle_timeout_ms": 5000,
                "barge_in": "calm",
                "interrupt_min_ms": 500,
            },
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24_000}, "voice": "ash", "speed": 1.0},
    },
}
WISH = {
    "metadata": {"a": "b"},
    "input": [{**MESSAGE, "content": [PART]}],
    "instructions": "i",
    "conversation": "none",
    "output_modalities": ["audio"],
    "audio": {},
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
}

WHOLE: tuple[dict[str, Any], ...] = (
    {"type": "session.update", "session": SESSION},
    {"type": "input_audio_buffer.append", "audio": b64(bytes(640)), "video_frames": [PIXEL]},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {"type": "response.create", "response": WISH},
    {"type": "response.cancel", "response_id": "r"},
    {
        "type": "conversation.item.create",
        "previous_item_id": "root",
        "item": {**MESSAGE, "content": [PART]},
    },
    {"type": "conversation.item.create", "previous_item_id": "root", "item": CALL},
    {"type": "conversation.item.create", "previous_item_id": "root", "item": OUTPUT},
    {"type": "conversation.item.retrieve", "item_id": "i"},
    {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 10},
    {"type": "conversation.item.delete", "item_id": "i"},
    {"type": "output_audio_buffer.clear"},
    {"type": "playback.ack", "response_id": "r", "played_ms": 40},
    {"type": "session.heartbeat"},
    {"type": "session.event_ack", "server_event_seq": 1},
    {"type": "session.resume", "session_id": "s", "resume_token": "t", "last_received_server_event_seq": 1},
    {"type": "session.close"},
)

_UNIONS = {Union, types.UnionType}


def model_of(event: dict[str, Any]) -> type[BaseModel]:
    union, _ = get_args(ClientEvent)
    (model,) = (m for m in get_args(union) if event["type"] in get_args(m.model_fields["type"].annotation))
    found: type[BaseModel] = model
    return found


def fields(
    model: type[BaseModel], value: dict[str, Any], path: str
) -> Iterator[tuple[str, dict[str, Any], str, FieldInfo]]:
    """Every field below `value`: its path, what holds it, its key, and what the model says of it."""
    for name, field in model.model_fields.items():
        assert name in value, f"{model.__name__}.{name} is not in the whole event, and so not tried"
        place = f"{path}.{name}".removeprefix(".")
        yield place, value, name, field
        inner = list(models(SessionShape if place == "session" else field.annotation))
        below = value[name]
        if isinstance(below, list) and below and inner:
            below, place = below[0], f"{place}[0]"
        if isinstance(below, dict):
            for one in inner:
                kind = one.model_fields.get("type")
                if len(inner) == 1 or (kind and below.get("type") in get_args(kind.annotation)):
                    yield from fields(one, below, place)


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in _UNIONS or get_origin(annotation) in {list, Annotated}:
        for one in get_args(annotation):
            yield from models(one)


def bounds(annotation: Any, metadata: list[Any]) -> Iterator[Any]:
    """Values just beyond what is allowed."""
    for bound in metadata:
        match bound:
            case Ge(least):
                yield json.loads(str(least)) - 1
            case Le(top):
                yield json.loads(str(top)) + 1
            case MinLen(1):
                yield ""
            case MaxLen(most):
                yield "x" * (most + 1) if annotation is str else {str(n): "x" for n in range(most + 1)}
            case FieldInfo():
                yield from bounds(annotation, bound.metadata)
    if get_origin(annotation) in _UNIONS:
        members = [one for one in get_args(annotation) if one is not types.NoneType]
        for one in members:
            # A word where a number could stand as well has the wrong type.
            yield from [] if get_origin(one) is Literal and len(members) > 1 else bounds(one, [])
    elif get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        yield from bounds(inner, more)
    elif get_origin(annotation) is Literal:
        yield "none of these"


def cases() -> Iterator[tuple[str, dict[str, Any], str, str]]:
    """Name, event, and the code and field of its error."""
    for whole in WHOLE:
        event = {**whole, "event_id": "mine"}
        for place, *_, field in list(fields(model_of(event), event, "")):
            if place == "type":
                continue
            for kind, value, code in wrong(field):
                spoilt = json.loads(json.dumps(event))
                holder, key = next((h, k) for p, h, k, _ in fields(model_of(event), spoilt, "") if p == place)
                if kind == "missing":
                    del holder[key]
                else:
                    holder[key] = value
                yield f"{event['type']} {place} {kind}", spoilt, code, place


def wrong(field: FieldInfo) -> Iterator[tuple[str, Any, str]]:
    if field.is_required():
        yield "missing", None, "missing_required_parameter"
    yield "mistyped", _Mistyped.of(field.annotation), "invalid_type"
    for value in bounds(field.annotation, list(field.metadata)):
        yield f"out of range {str(value)[:12]}", value, "invalid_value"


class _Mistyped:
    """A value of a type that none of the members of an annotation has."""

    @staticmethod
    def of(annotation: Any) -> Any:
        text = str(annotation)
        return [["a list"]] if "list" not in text.lower() else 5


CASES = list(cases())


def error_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    (event,) = events
    assert event["type"] == "error"
    error: dict[str, Any] = event["error"]
    return error


@pytest.mark.parametrize("whole", WHOLE, ids=lambda event: event["type"])
def test_the_whole_event_is_granted_or_refused_for_its_meaning_alone(whole: dict[str, Any]) -> None:
    wire = Wire(simplex())
    codes = {event["error"]["code"] for event in wire.ask(whole) if event["type"] == "error"}
    assert codes <= {
        "response_cancel_not_active",
        "item_retrieve_invalid_item_id",
        "item_delete_invalid_item_id",
        "input_audio_buffer_commit_empty",
        "invalid_session_resume",
    }


def test_there_is_a_whole_event_of_every_kind() -> None:
    union, _ = get_args(ClientEvent)
    assert {model_of(event) for event in WHOLE} == set(get_args(union))
    tried = {case[0].split(" ")[1] for case in CASES}
    assert {"item.content[0].image_url", "session.audio.input.turn_detection.threshold", "audio_end_ms"} <= tried
    assert len(CASES) > 150


def test_every_spoilt_event_gives_one_error_with_its_field_and_the_session_lives() -> None:
    wire = Wire(simplex())
    for name, event, code, param in CASES:
        error = error_of(wire.ask(event))
        where = error["param"] or ""
        # A key or value inside a mapping is named by its own path.
        assert where == param or where.startswith((f"{param}.", f"{param}[")), (name, error)
        if error["param"] == param:
            assert error["code"] == code, (name, error)
        assert error["event_id"] == ("mine" if param != "event_id" else None), name
        assert error["message"], name
    assert wire.ask({"type": "input_audio_buffer.clear"})[0]["type"] == "input_audio_buffer.cleared"
    assert "session.updated" not in wire.types, "nothing of what was refused was used"


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        ({}, "missing_required_parameter", "item.type"),
        ({"type": "telepathy"}, "invalid_value", "item.type"),
        (
            {"type": "message", "role": "user", "content": [{"type": "output_text", "text": "x"}]},
            "invalid_value",
            "item.content[0].type",
        ),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_text"}]},
            "missing_required_parameter",
            "item.content[0].text",
        ),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_image"}]},
            "missing_required_parameter",
            "item.content[0].image_url",
        ),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png"}]},
            "invalid_value",
            "item.content[0].image_url",
        ),
        (
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_image", "image_url": "data:image/png,abc"}],
            },
            "invalid_value",
            "item.content[0].image_url",
        ),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "AA="}]},
            "invalid_value",
            "item.content[0].audio",
        ),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "AAAB"}]},
            "invalid_value",
            "item.content[0].audio",
        ),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": b64(bytes(31 * 32_000))}]},
            "invalid_value",
            "item.content[0].audio",
        ),
    ],
)
def test_what_an_item_may_not_be(item: dict[str, Any], code: str, param: str) -> None:
    error = error_of(Wire(simplex()).ask({"type": "conversation.item.create", "item": item}))
    assert (error["code"], error["param"]) == (code, param)


def test_a_bad_picture_beside_sound_loses_neither_name_nor_sound() -> None:
    event = {"type": "input_audio_buffer.append", "audio": "", "video_frames": [PIXEL, "AAAA"]}
    error = error_of(Wire(simplex()).ask(event))
    assert error["param"] == "video_frames[1]"


def test_half_a_character_is_refused_because_it_could_not_be_sent_back() -> None:
    wire = Wire(simplex())
    half = r'{"type": "session.update", "session": {"instructions": "\ud800"}}'
    assert error_of(wire.ask(half))["code"] == "invalid_json"
    assert "session.updated" not in wire.types
