"""What old clients send, field for field."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from duplex.errors import InvalidEvent
from http_compat.schemas import InitRequest, PrefillRequest, parse_media_type

INIT_FIELDS: dict[str, object] = {
    "media_type": "audio",
    "msg_type": "2",
    "duplex_mode": True,
    "high_quality_mode": True,
    "high_fps_mode": True,
    "language": "en",
    "highImage": True,
    "highRefresh": True,
    "timbreBase64": "UklGRg==",
    "voice": "UklGRg==",
    "audio_prompt_text": "a",
    "task_prompt_text": "b",
    "assistant_prompt": "c",
    "use_tts": False,
}
PREFILL_FIELDS: dict[str, object] = {
    "audio": "UklGRg==",
    "image": "/9j/",
    "image_audio_id": 7,
    "frame_index": 4,
    "max_slice_nums": 2,
    "session_id": "f3b5",
    "is_last_chunk": True,
    "last_chunk": True,
}


def faults(model: type[BaseModel], body: dict[str, Any]) -> list[tuple[str, tuple[int | str, ...]]]:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(body)
    return [(fault["type"], fault["loc"]) for fault in refused.value.errors()]


@pytest.mark.parametrize(("model", "fields"), [(InitRequest, INIT_FIELDS), (PrefillRequest, PREFILL_FIELDS)])
def test_every_field_is_understood(model: type[BaseModel], fields: dict[str, object]) -> None:
    assert set(model.model_fields) == set(fields)
    assert model.model_validate(fields).model_dump() == fields


@pytest.mark.parametrize("model", [InitRequest, PrefillRequest])
def test_no_field_is_required_and_unknown_keys_are_passed_over(model: type[BaseModel]) -> None:
    nothing = model()
    assert model.model_validate({}) == nothing
    assert model.model_validate({"round": 3, "checkpoint_id": None, "timbreId": [1], "use_audio": False}) == nothing


@pytest.mark.parametrize("name", sorted({*INIT_FIELDS}))
def test_null_is_the_same_as_not_given_in_an_init(name: str) -> None:
    assert InitRequest.model_validate({name: None}) == InitRequest()


@pytest.mark.parametrize("name", sorted({*PREFILL_FIELDS} - {"is_last_chunk"}))
def test_null_is_the_same_as_not_given_in_a_prefill(name: str) -> None:
    assert PrefillRequest.model_validate({name: None}) == PrefillRequest()


def test_the_one_field_that_may_not_be_null() -> None:
    assert faults(PrefillRequest, {"is_last_chunk": None}) == [("bool_type", ("is_last_chunk",))]


@pytest.mark.parametrize("name", ["image_audio_id", "frame_index", "max_slice_nums"])
@pytest.mark.parametrize(
    ("given", "expected"), [(1, 1), ("1", 1), (1.0, 1), (" 1 ", 1), ("1.0", 1), (True, 1), (0, 0), (-1, -1)]
)
def test_what_counts_as_a_whole_number(name: str, given: object, expected: int) -> None:
    assert getattr(PrefillRequest.model_validate({name: given}), name) == expected


@pytest.mark.parametrize(
    ("given", "fault"), [(1.5, "int_from_float"), ("one", "int_parsing"), ("", "int_parsing"), ([], "int_type")]
)
def test_what_does_not(given: object, fault: str) -> None:
    assert faults(PrefillRequest, {"image_audio_id": given}) == [(fault, ("image_audio_id",))]


BOOLS = [
    *[(InitRequest, name) for name in ("duplex_mode", "high_quality_mode", "high_fps_mode", "highImage")],
    *[(InitRequest, name) for name in ("highRefresh", "use_tts")],
    *[(PrefillRequest, name) for name in ("is_last_chunk", "last_chunk")],
]


@pytest.mark.parametrize(("model", "name"), BOOLS)
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        *[(given, True) for given in (True, "true", "True", "1", 1, 1.0, "on", "yes")],
        *[(given, False) for given in (False, "false", "False", "0", 0, 0.0, "off", "no")],
    ],
)
def test_what_counts_as_yes_and_no(model: type[BaseModel], name: str, given: object, expected: bool) -> None:
    assert getattr(model.model_validate({name: given}), name) is expected


@pytest.mark.parametrize(("model", "name"), BOOLS)
@pytest.mark.parametrize(("given", "fault"), [("maybe", "bool_parsing"), (2, "bool_parsing"), ([], "bool_type")])
def test_what_is_neither(model: type[BaseModel], name: str, given: object, fault: str) -> None:
    assert faults(model, {name: given}) == [(fault, (name,))]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        *[(InitRequest, name) for name in ("language", "timbreBase64", "voice")],
        *[(PrefillRequest, name) for name in ("audio", "image")],
    ],
)
@pytest.mark.parametrize("given", [1, 1.0, True, [], {}])
def test_texts_are_texts(model: type[BaseModel], name: str, given: object) -> None:
    assert faults(model, {name: given}) == [("string_type", (name,))]


@pytest.mark.parametrize("session_id", ["room-1", 5, ["a"], {"a": 1}, True])
def test_foreign_session_ids_of_any_kind_are_taken(session_id: object) -> None:
    assert PrefillRequest.model_validate({"session_id": session_id}).session_id == session_id


@pytest.mark.parametrize("prompt", ["text", [{"role": "system"}], {"text": "a"}, 5])
def test_prompts_of_any_kind_are_taken(prompt: object) -> None:
    assert InitRequest.model_validate({"task_prompt_text": prompt}).task_prompt_text == prompt


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, 2),
        ({"media_type": None}, 2),
        ({"media_type": ""}, 2),
        ({"media_type": "omni"}, 2),
        ({"media_type": "video"}, 2),
        ({"media_type": "Video"}, 2),
        ({"media_type": "audio"}, 1),
        ({"media_type": "AUDIO"}, 1),
        ({"media_type": "1"}, 1),
        ({"media_type": 1}, 1),
        ({"media_type": 2}, 2),
        ({"msg_type": 1}, 1),
        ({"msg_type": "2"}, 2),
        ({"msg_type": 1, "media_type": 2}, 1),
        ({"msg_type": None, "media_type": 1}, 1),
    ],
)
def test_media_types(given: dict[str, object], expected: int) -> None:
    assert parse_media_type(InitRequest.model_validate(given)) == expected


@pytest.mark.parametrize("given", ["text", "3", 3, 0, -1, "audio,video"])
@pytest.mark.parametrize("name", ["media_type", "msg_type"])
def test_unknown_media_types_are_refused_in_the_documented_words(name: str, given: object) -> None:
    request = InitRequest.model_validate({name: given})
    with pytest.raises(InvalidEvent) as refused:
        parse_media_type(request)
    assert str(refused.value) == f"不支持的media_type: {given}"


def test_a_long_media_type_is_not_repeated_whole() -> None:
    with pytest.raises(InvalidEvent) as refused:
        parse_media_type(InitRequest(media_type="x" * 1_000_000))
    assert len(str(refused.value)) < 100


@pytest.mark.parametrize("given", [1.0, True, [], {}])
def test_media_types_that_are_neither_word_nor_number(given: object) -> None:
    assert faults(InitRequest, {"media_type": given}) == [("string_type", ("media_type",))]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (False, False)),
        ({"high_quality_mode": True}, (True, False)),
        ({"highImage": True}, (True, False)),
        ({"highImage": True, "high_quality_mode": False}, (True, False)),
        ({"high_fps_mode": True}, (False, True)),
        ({"highRefresh": True}, (False, True)),
        ({"highRefresh": None, "high_fps_mode": None}, (False, False)),
    ],
)
def test_either_name_switches_it_on(body: dict[str, object], expected: tuple[bool, bool]) -> None:
    request = InitRequest.model_validate(body)
    assert (request.high_quality, request.high_fps) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, False),
        ({"is_last_chunk": True}, True),
        ({"last_chunk": True}, True),
        ({"last_chunk": False}, False),
        ({"last_chunk": None, "is_last_chunk": True}, True),
        ({"last_chunk": True, "is_last_chunk": False}, True),
    ],
)
def test_the_end_of_a_question_has_two_names(body: dict[str, object], expected: bool) -> None:
    assert PrefillRequest.model_validate(body).is_last is expected
