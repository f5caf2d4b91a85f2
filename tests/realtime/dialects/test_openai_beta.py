"""The older words, judged by OpenAI's older types."""

import json
from typing import Any

import pytest
from openai.types.beta.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from duplex.conversation_settings import ConversationSettings
from duplex.engine.base import Mode
from realtime.dialects.openai_beta import Names
from tests.duplex.talk import LOUD, QUIET, simplex
from tests.realtime.rules import BETA_ONLY, GA_ONLY, Rules
from tests.realtime.wire import Wire, b64

_TYPES: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)

FLAT = {"modalities": ["audio", "text"], "voice": "ash", "input_audio_format": "pcm16", "temperature": 0.7}
ITEM = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "I said so."}]}


def judged(wire: Wire) -> list[str]:
    """Every event by OpenAI's types and by the rules. Our models and voices are not theirs."""
    rules = Rules(beta=True)
    for frame in wire.frames:
        event = json.loads(frame)
        for shown in (event.get("session"), event.get("response")):
            if shown is not None:
                shown.pop("model", None)
        parsed = _TYPES.validate_python(event)
        assert type(parsed).__name__ != "dict"
        assert parsed.type == event["type"]
        rules.judge(event)
    return wire.types


def talk(wire: Wire) -> None:
    """Two turns, the second broken, and everything that can be asked about items."""
    wire.ask({"type": "session.update", "session": {**FLAT, "turn_detection": {"type": "server_vad"}}})
    wire.hear(LOUD, 0.5)
    wire.hear(QUIET, 0.8)
    wire.answer("Yes.")
    wire.ask({"type": "conversation.item.create", "item": {**ITEM, "id": "mine"}})
    wire.ask({"type": "conversation.item.retrieve", "item_id": "mine"})
    wire.ask({"type": "conversation.item.truncate", "item_id": "mine", "content_index": 0, "audio_end_ms": 1})
    wire.ask({"type": "conversation.item.delete", "item_id": "mine"})
    wire.ask({"type": "input_audio_buffer.clear"})
    wire.ask({"type": "response.create", "response": {"metadata": {"a": "b"}}})
    wire.say("No, I would rather", 3.0)
    wire.read(8)
    wire.hear(LOUD, 0.5)
    wire.ask({"type": "nonsense"})


def test_a_conversation_in_the_older_words() -> None:
    wire = Wire(simplex(input_rate_hz=16_000), names=Names.BETA)
    talk(wire)
    types = judged(wire)
    assert set(types) >= BETA_ONLY
    assert not set(types) & GA_ONLY
    assert types.count("response.done") == 2
    done = [event["response"] for event in wire.events if event["type"] == "response.done"]
    assert [response["status"] for response in done] == ["completed", "cancelled"]
    assert done[0]["output"][0]["content"][0]["type"] == "audio"
    assert done[1]["metadata"]["a"] == "b"


def test_a_flat_first_update_chooses_them() -> None:
    wire = Wire(ConversationSettings(mode=Mode.SIMPLEX))
    (updated,) = wire.ask({"type": "session.update", "session": {**FLAT, "voice": "nobody", "of_tomorrow": 1}})
    session = updated["session"]
    assert session["input_audio_format"] == session["output_audio_format"] == "pcm16"
    assert (session["voice"], session["modalities"], session["of_tomorrow"]) == ("nobody", ["audio", "text"], 1)
    assert session["turn_detection"]["type"] == "server_vad"
    assert session["temperature"] == 0.7
    assert "audio" not in session
    created = wire.ask({"type": "conversation.item.create", "item": ITEM})
    assert [event["type"] for event in created] == ["conversation.item.created"]
    assert created[0]["item"]["content"] == [{"type": "text", "text": "I said so."}]


@pytest.mark.parametrize(
    "before",
    [
        {"type": "session.update", "session": {"instructions": "Be brief."}},
        {"type": "conversation.item.create", "item": ITEM},
    ],
)
def test_later_the_words_stay_as_they_are(before: dict[str, Any]) -> None:
    wire = Wire(simplex())
    wire.ask(before)
    (updated,) = wire.ask({"type": "session.update", "session": FLAT})
    assert updated["session"]["audio"]["output"]["voice"] == "default"
    assert updated["session"]["voice"] == "ash", "an unknown key is kept where it was"
    assert not set(wire.types) & BETA_ONLY


@pytest.mark.parametrize(
    "update",
    [{"type": "realtime", "voice": "ash"}, {"audio": {}, "voice": "ash"}, {"instructions": "x"}, {"tools": []}],
)
def test_what_is_no_flat_session(update: dict[str, Any]) -> None:
    wire = Wire(simplex())
    (updated,) = wire.ask({"type": "session.update", "session": update})
    assert "audio" in updated["session"]


@pytest.mark.parametrize(
    ("update", "code", "param"),
    [
        ({"input_audio_format": "mp3"}, "invalid_value", "session.input_audio_format"),
        ({"output_audio_format": 5}, "invalid_type", "session.output_audio_format"),
        ({"turn_detection": {"threshold": 2}}, "invalid_value", "session.turn_detection.threshold"),
        ({"modalities": ["smell"]}, "invalid_value", "session.modalities[0]"),
        ({"voice": 5}, "invalid_type", "session.voice"),
        ({"instructions": 5}, "invalid_type", "session.instructions"),
        ({"audio": "loud", "voice": "ash"}, "invalid_type", "session.audio"),
    ],
)
def test_errors_name_the_older_field(update: dict[str, Any], code: str, param: str) -> None:
    wire = Wire(simplex(), names=Names.BETA)
    (error,) = wire.ask({"type": "session.update", "session": update})
    assert (error["error"]["code"], error["error"]["param"]) == (code, param)
    assert "audio.input" not in error["error"]["message"]


def test_telephones() -> None:
    wire = Wire(simplex(), names=Names.BETA)
    formats = {"input_audio_format": "g711_ulaw", "output_audio_format": "g711_alaw"}
    (updated,) = wire.ask({"type": "session.update", "session": formats})
    assert updated["session"]["input_audio_format"] == "g711_ulaw"
    assert updated["session"]["output_audio_format"] == "g711_alaw"
    assert wire.ask({"type": "input_audio_buffer.append", "audio": b64(b"\xff" * 33)}) == []


def test_push_to_talk_and_back() -> None:
    wire = Wire(simplex(), names=Names.BETA)
    (off,) = wire.ask({"type": "session.update", "session": {"turn_detection": None}})
    assert off["session"]["turn_detection"] is None
    (on,) = wire.ask({"type": "session.update", "session": {"turn_detection": {"type": "semantic_vad"}}})
    assert on["session"]["turn_detection"]["eagerness"] == "auto"
    assert "threshold" not in on["session"]["turn_detection"]
