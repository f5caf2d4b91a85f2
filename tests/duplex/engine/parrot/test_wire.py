import json
from typing import Any

import pytest

from duplex.engine.parrot import wire

EMPTY = (
    "[json.exception.parse_error.101] parse error at line 1, column 1: attempting to parse an empty input; "
    "check that your input string or stream contains the expected JSON"
)


def test_events_are_the_bytes_of_the_real_engine() -> None:
    assert wire.event(wire.OVER) == b'data: {"content":"","stop":true,"is_listen":false,"end_of_turn":true}\n\n'
    assert wire.event(wire.IS_LISTEN) == b'data: {"content":"","stop":false,"is_listen":true,"end_of_turn":true}\n\n'
    assert len(wire.event(wire.OVER)) == 0x47
    assert wire.DONE == b"data: [DONE]\n\n"


def test_text_is_raw_utf8() -> None:
    assert wire.compact({"content": "你好 é \x01"}) == '{"content":"你好 é \\u0001"}'.encode()


@pytest.mark.parametrize("body", [b'{"audio_path', b'{"a":}', b"[1,]", b"nul", b"NaN", b'{"a":1}x', b"\xff", b"{"])
def test_malformed_json_is_a_500(body: bytes) -> None:
    with pytest.raises(wire.Refusal) as caught:
        wire.parse(body)
    assert caught.value.status == 500
    error = json.loads(caught.value.body())["error"]
    assert error["type"] == "server_error"
    assert error["message"].startswith("[json.exception.parse_error.101] parse error at line 1, column ")


def test_the_message_of_a_cut_body() -> None:
    with pytest.raises(wire.Refusal) as caught:
        wire.parse(b'{"a":')
    assert str(caught.value) == (
        "[json.exception.parse_error.101] parse error at line 1, column 6: syntax error while parsing value - "
        "unexpected end of input; expected '[', '{', or a literal"
    )


def test_an_empty_body_is_malformed_unless_allowed() -> None:
    assert wire.parse(b"", may_be_empty=True) == {}
    with pytest.raises(wire.Refusal, match="attempting to parse an empty input") as caught:
        wire.parse(b"")
    assert str(caught.value) == EMPTY


@pytest.mark.parametrize(
    ("value", "default", "read"),
    [
        (None, True, True),
        ("yes", True, True),
        (False, True, False),
        (0, True, True),
        ("a", -1, -1),
        (3, -1, 3),
        (2.9, -1, 2),
        (True, -1, 1),
        (7, "text", "text"),
        ("word", "text", "word"),
    ],
)
def test_soft_fields_fall_back(value: object, default: Any, read: object) -> None:
    assert wire.soft({"field": value}, "field", default) == read


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (3, str, "type must be string, but is number"),
        (None, str, "type must be string, but is null"),
        ("a", int, "type must be number, but is string"),
        (1, bool, "type must be boolean, but is number"),
        ([], bool, "type must be boolean, but is array"),
        ({}, int, "type must be number, but is object"),
        (True, str, "type must be string, but is boolean"),
    ],
)
def test_hard_fields_raise(value: object, kind: type, message: str) -> None:
    with pytest.raises(wire.Refusal) as caught:
        wire.hard({"field": value}, "field", kind)
    assert str(caught.value) == f"[json.exception.type_error.302] {message}"
    assert caught.value.status == 500


def test_fields_of_what_is_no_object_are_absent() -> None:
    assert wire.field([1], "a") is None
    assert wire.hard("text", "a", int) is None
    assert wire.soft(3, "a", "default") == "default"
    assert wire.integer_field({"a": True}, "a") is None
    assert wire.integer_field({"a": 1.0}, "a") is None
    assert wire.integer_field({"a": -4}, "a") == -4
