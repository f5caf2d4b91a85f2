"""Bad events get OpenAI's words; good ones their type."""

from typing import Any

import pytest

from duplex.errors import InvalidEvent
from realtime.events import CreateEvent, PlaybackAckEvent, parse
from realtime.session_shape import TurnDetection, parse_session


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        ([], "invalid_type", None),
        ("text", "invalid_type", None),
        (None, "invalid_type", None),
        ({}, "invalid_value", "type"),
        ({"type": None}, "invalid_value", "type"),
        ({"type": 5}, "invalid_value", "type"),
        ({"type": "conversation.start"}, "invalid_value", "type"),
        ({"type": "input_audio_buffer.append"}, "missing_required_parameter", "audio"),
        ({"type": "input_audio_buffer.append", "audio": 5}, "invalid_type", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "", "event_id": 7}, "invalid_type", "event_id"),
        ({"type": "session.update"}, "missing_required_parameter", "session"),
        ({"type": "session.update", "session": []}, "invalid_type", "session"),
        ({"type": "response.create", "response": 1}, "invalid_type", "response"),
        ({"type": "response.create", "response": {"metadata": {"a": 1}}}, "invalid_type", "response.metadata.a"),
        ({"type": "playback.ack", "response_id": "r", "played_ms": -1}, "invalid_value", "played_ms"),
        ({"type": "playback.ack", "response_id": "r", "played_ms": "1"}, "invalid_type", "played_ms"),
        ({"type": "playback.ack", "played_ms": 1}, "missing_required_parameter", "response_id"),
    ],
)
def test_refused(event: Any, code: str, param: str | None) -> None:
    with pytest.raises(InvalidEvent) as refused:
        parse(event)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert str(refused.value)


def test_unknown_keys_are_accepted() -> None:
    event = parse({"type": "playback.ack", "response_id": "r", "played_ms": 3, "extra": {"a": 1}})
    assert isinstance(event, PlaybackAckEvent)
    assert event.played_ms == 3


@pytest.mark.parametrize(
    ("response", "metadata"),
    [(None, {}), ({}, {}), ({"metadata": None}, {}), ({"metadata": {"a": "b"}, "instructions": "x"}, {"a": "b"})],
)
def test_metadata(response: Any, metadata: dict[str, str]) -> None:
    event = parse({"type": "response.create", "response": response})
    assert isinstance(event, CreateEvent)
    assert event.metadata == metadata


@pytest.mark.parametrize(
    ("turns", "hangover_ms"),
    [
        ({"type": "server_vad"}, 600),
        ({"type": "server_vad", "silence_duration_ms": 900}, 900),
        ({"type": "semantic_vad"}, 800),
        ({"type": "semantic_vad", "eagerness": "low"}, 2000),
        ({"type": "semantic_vad", "eagerness": "high"}, 400),
    ],
)
def test_silence_windows(turns: dict[str, Any], hangover_ms: int) -> None:
    assert TurnDetection.model_validate(turns).hangover_ms == hangover_ms


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"audio": 5}, "session.audio"),
        ({"audio": {"input": {"format": {"type": "audio/mp3"}}}}, "session.audio.input.format.type"),
        ({"audio": {"input": {"format": {"rate": "24000"}}}}, "session.audio.input.format.rate"),
        ({"audio": {"input": {"turn_detection": {"type": "magic"}}}}, "session.audio.input.turn_detection.type"),
        (
            {"audio": {"input": {"turn_detection": {"silence_duration_ms": -1}}}},
            "session.audio.input.turn_detection.silence_duration_ms",
        ),
        (
            {"audio": {"input": {"turn_detection": {"create_response": "no"}}}},
            "session.audio.input.turn_detection.create_response",
        ),
    ],
)
def test_a_refused_session_names_the_field(session: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        parse_session(session)
    assert refused.value.param == param
