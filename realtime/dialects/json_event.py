"""The first steps from a frame to an event, and the last ones back, which every JSON dialect takes."""

import json
import math
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, NoReturn

from duplex.errors import InvalidEvent
from realtime.dialects.base import Frame

__all__ = ["read_object", "write_event", "write_sound"]

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
"""Made once: `json.dumps` makes one for every event that is not written in its own way."""

_DEEPEST = 64
"""Objects and arrays within each other; no event of any protocol comes near it."""


def read_object(frame: Frame) -> dict[str, Any]:
    """One text frame's JSON object. Raises `InvalidEvent` with OpenAI's code for anything else.

    What it returns can be sent back as it is: no number without a JSON form, no half character, no endless nesting.
    """
    if isinstance(frame, bytes):
        raise InvalidEvent("Binary messages are not understood here: send JSON in text messages.", code="invalid_type")
    try:
        event = json.loads(frame, parse_constant=_no_number, parse_float=_finite)
        if "\\u" in frame:
            json.dumps(event, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        # UnicodeError is a ValueError: half of a surrogate pair is no text.
        raise InvalidEvent("The message is not valid JSON.", code="invalid_json") from None
    if not isinstance(event, dict):
        raise InvalidEvent("An event must be a JSON object.", code="invalid_type")
    if frame.count("{") + frame.count("[") > _DEEPEST and _is_deep(event):
        raise InvalidEvent(f"The event is nested deeper than {_DEEPEST} levels.", code="invalid_json")
    return event


def write_event(event: Mapping[str, Any]) -> str:
    """One event as a text frame, without a blank too many."""
    return _JSON.encode(event)


def write_sound(event: Mapping[str, Any], key: str, sound: bytes) -> str:
    """The same with `sound` in base64 as its last value. `event` has at least one other."""
    # Base64 needs no escaping, and an encoder that looks for what does takes longer than everything else.
    return f'{_JSON.encode(event)[:-1]},"{key}":"{b64encode(sound).decode("ascii")}"}}'


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(digits)
    return number


def _is_deep(event: object) -> bool:
    level = [event]
    for _ in range(_DEEPEST):
        level = [
            child
            for value in level
            if isinstance(value, dict | list)
            for child in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return False
    return True
