"""What is an event at all."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.errors import InvalidEvent
from realtime.dialects.json_event import read_object

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3),
)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"{}", "invalid_type"),
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("[]", "invalid_type"),
        ('"type"', "invalid_type"),
        ('{"a":NaN}', "invalid_json"),
        ('{"a":-Infinity}', "invalid_json"),
        ('{"a":1e999}', "invalid_json"),
        ('{"a":"\\ud800"}', "invalid_json"),
        ('{"\\uDFFF":1}', "invalid_json"),
        ('{"a":' + "9" * 5000 + "}", "invalid_json"),
        ('{"a":' * 70 + "1" + "}" * 70, "invalid_json"),
        ('{"a":' + "[" * 100_000, "invalid_json"),
        ('{"a":' + "[" * 800 + "]" * 800 + "}", "invalid_json"),
    ],
)
def test_no_event(frame: str | bytes, code: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        read_object(frame)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "event",
    [{}, {"a": "\u00e9\U0001f600"}, {"a": [{}] * 1000}, {"a": 1.5e300}, {"a": {"b": [1, None, True]}}],
)
def test_an_event(event: dict[str, Any]) -> None:
    assert read_object(json.dumps(event)) == event


@given(JSON)
def test_what_is_taken_can_be_sent_back(value: Any) -> None:
    try:
        event = read_object(json.dumps({"value": value}))
    except InvalidEvent:
        return
    back = json.dumps(event, ensure_ascii=False, allow_nan=False).encode()
    assert json.loads(back) == event
