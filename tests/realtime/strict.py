"""Judges server events with OpenAI's own types."""

import json
from typing import Any

from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

__all__ = ["EXTENSIONS", "checked"]

_TYPES: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)

EXTENSIONS = {
    "output_audio_buffer.ducked",
    "output_audio_buffer.resumed",
    "response.listen",
    "session.model_info",
    "session.warning",
    "session.closed",
}
"""Ours and vLLM-Omni's: no type of OpenAI's. `output_audio_buffer.cleared` is one of theirs."""


def checked(frame: str | bytes, *, extensions: bool = False) -> dict[str, Any]:
    """Decode one text frame. Fails when OpenAI's own types would not take it."""
    assert isinstance(frame, str)
    event: dict[str, Any] = json.loads(frame)
    assert event["event_id"]
    if event["type"] in EXTENSIONS:
        assert extensions, f"{event['type']} to a client that did not ask for extensions"
        return event
    parsed = _TYPES.validate_json(frame)
    assert type(parsed).__name__ != "dict"
    assert parsed.type == event["type"]
    return event
