"""What each dialect's client hears of the queue, and which of its words are sound."""

import json
from typing import Any

import pytest

from duplex.conversation_settings import ConversationSettings
from duplex.engine.queue import Place
from realtime.options import Protocol, parse_options
from realtime.queue_events import QueueEvents, is_sound

HERE = Place(3, 7, 61.234)


def told(protocol: Protocol, query: dict[str, str]) -> list[dict[str, Any]]:
    events = QueueEvents(protocol, parse_options(query, ConversationSettings(), protocol), "ticket_1")
    frames = [*events.queued(HERE), *events.update(Place(1, 5, None)), *events.done()]
    assert all(isinstance(frame, str) for frame in frames)
    return [json.loads(frame) for frame in frames]


@pytest.mark.parametrize("query", [{"ext": "1"}, {"duplex": "1"}, {"audio": "binary"}, {"resume": "1"}])
def test_clients_with_extensions_are_told(query: dict[str, str]) -> None:
    assert told(Protocol.OPENAI, query) == [
        {
            "type": "session.queued",
            "position": 3,
            "estimated_wait_s": 61.2,
            "ticket": "ticket_1",
            "event_id": "event_ticket_1_1",
        },
        {
            "type": "session.queue_update",
            "position": 1,
            "estimated_wait_s": None,
            "ticket": "ticket_1",
            "event_id": "event_ticket_1_2",
        },
        {"type": "session.queue_done", "ticket": "ticket_1", "event_id": "event_ticket_1_3"},
    ]


def test_the_demo_is_told_in_its_own_words_and_of_the_end_by_its_dialect() -> None:
    assert told(Protocol.MINICPMO, {"mode": "audio"}) == [
        {
            "type": "session.queued",
            "position": 3,
            "estimated_wait_s": 61.2,
            "ticket_id": "ticket_1",
            "queue_length": 7,
        },
        {
            "type": "session.queue_update",
            "position": 1,
            "estimated_wait_s": None,
            "ticket_id": "ticket_1",
            "queue_length": 5,
        },
    ]


@pytest.mark.parametrize("protocol", [Protocol.OPENAI, Protocol.OPENAI_BETA, Protocol.LIVE])
def test_strict_clients_are_told_nothing(protocol: Protocol) -> None:
    assert told(protocol, {}) == []


def test_the_end_of_a_wait_that_never_was_is_not_told() -> None:
    options = parse_options({"ext": "1"}, ConversationSettings())
    assert QueueEvents(Protocol.OPENAI, options, "t").done() == []


@pytest.mark.parametrize(
    ("frame", "sound"),
    [
        (b"\0\0", True),
        ('{"type":"input_audio_buffer.append","audio":"AAAA"}', True),
        ('{"audio": "AAAA", "type" : "input_audio_buffer.append"}', True),
        ('{"type": "session.input_audio.append", "audio": ""}', True),
        ('{"type":"session.update","session":{}}', False),
        ('{"type":"session.start","session":{}}', False),
        ('{"type":"session.update","session":{"instructions":"\\"type\\":\\"input_audio_buffer.append\\""}}', False),
        ('{"type":"input_audio_buffer.clear"}', False),
        ("no JSON", False),
    ],
)
def test_what_is_sound(frame: str | bytes, *, sound: bool) -> None:
    assert is_sound(frame) is sound
