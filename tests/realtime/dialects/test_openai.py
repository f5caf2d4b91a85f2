"""Every event in OpenAI's words and order."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.barge_in import BargeIn, evidence_for
from duplex.conversation_settings import ConversationSettings
from duplex.engine.base import Mode
from duplex.errors import ClientError, InvalidAudio, InvalidEvent
from duplex.messages import (
    AcknowledgePlayback,
    AppendAudio,
    BreakReason,
    CancelResponse,
    ClearInput,
    ClearOutput,
    CommitInput,
    Committed,
    Configure,
    Configured,
    CreateResponse,
    InputCleared,
    ModelListens,
    Refused,
    ResponseAudio,
    ResponseCut,
    ResponseEnded,
    ResponseHeld,
    ResponseReleased,
    ResponseStarted,
    ResponseText,
    ServerMessage,
    SpeechStarted,
    SpeechStopped,
    Warned,
)
from realtime.dialects.base import SessionFacts
from realtime.dialects.openai import OpenAIDialect
from tests.realtime.strict import checked

FACTS = SessionFacts("abc", "minicpm-o-4.5", "parrot", stand_in=True)
OPENING = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
]
CLOSING = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "conversation.item.done",
    "response.done",
]


def make(**variant: Any) -> OpenAIDialect:
    return OpenAIDialect(FACTS, ConversationSettings(mode=Mode.SIMPLEX), **variant)


def say(dialect: OpenAIDialect, *messages: ServerMessage, extensions: bool = False) -> list[dict[str, Any]]:
    frames = [frame for message in messages for frame in dialect.encode(message)]
    return [checked(frame, extensions=extensions) for frame in frames]


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def ask(dialect: OpenAIDialect, event: object) -> list[Any]:
    return dialect.decode(json.dumps(event))


# --- server events


def test_the_greeting_of_a_strict_client() -> None:
    (created,) = [checked(frame) for frame in make().greet()]
    assert created["type"] == "session.created"
    assert created["session"]["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 600


def test_the_greeting_with_extensions_says_that_the_engine_is_a_stand_in() -> None:
    created, about = [checked(frame, extensions=True) for frame in make(extensions=True).greet()]
    assert created["server_event_seq"] == 1
    assert about["type"] == "session.model_info"
    assert (about["engine"], about["stand_in"], about["conversation"]) == ("parrot", True, "simplex")


def test_the_users_side() -> None:
    events = say(make(), SpeechStarted(700), SpeechStopped(3500), Committed())
    assert types(events) == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert events[0]["audio_start_ms"] == 700
    assert events[1]["audio_end_ms"] == 3500
    ids = {event.get("item_id") or event["item"]["id"] for event in events}
    assert len(ids) == 1, "one utterance, one item"


def test_a_complete_response() -> None:
    dialect = make()
    say(dialect, Committed())
    events = say(
        dialect,
        ResponseStarted(1, {"client": "x"}),
        ResponseText("Hel"),
        ResponseAudio(b"\1\2" * 4),
        ResponseText("lo"),
        ResponseEnded({"speech_end_to_first_audio_ms": 12}),
    )
    middle = [
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
    ]
    assert types(events) == OPENING + middle + CLOSING
    assert base64.b64decode(events[5]["delta"]) == b"\1\2" * 4
    assert "sample_rate_hz" not in events[5]
    assert events[0]["response"]["metadata"] == {"client": "x"}
    done = events[-1]["response"]
    assert (done["status"], done["status_details"]) == ("completed", None)
    assert done["usage"]["total_tokens"] == 0
    assert done["metadata"]["client"] == "x"
    assert json.loads(done["metadata"]["omni_duplex.latency"]) == {"speech_end_to_first_audio_ms": 12}
    assert done["output"][0]["content"][0]["transcript"] == "Hello"
    assert len({event["event_id"] for event in events}) == len(events)
    user_item = events[2]["previous_item_id"]
    assert user_item
    assert user_item != events[2]["item"]["id"]


@pytest.mark.parametrize("reason", list(BreakReason))
def test_a_cut_response_ends_with_the_same_sequence(reason: BreakReason) -> None:
    dialect = make()
    say(dialect, ResponseStarted(1), ResponseText("Half a"))
    say(dialect, ResponseText(" story"))
    events = say(dialect, ResponseCut(reason, 300, {}, "Half a"))
    assert types(events) == CLOSING
    done = events[-1]["response"]
    assert events[1]["transcript"] == events[2]["part"]["transcript"] == "Half a", "what nobody heard was not said"
    assert done["output"][0]["content"][0]["transcript"] == "Half a"
    assert done["output"][0]["status"] == "incomplete"
    if reason is BreakReason.ENGINE_LOST:
        error = {"type": "server_error", "code": "engine_lost"}
        assert (done["status"], done["status_details"]) == ("failed", {"type": "failed", "error": error})
    else:
        assert (done["status"], done["status_details"]) == ("cancelled", {"type": "cancelled", "reason": reason.value})


def test_with_extensions_the_flush_comes_first_and_names_the_response() -> None:
    dialect = make(extensions=True)
    say(dialect, ResponseStarted(1), extensions=True)
    events = say(dialect, ResponseCut(BreakReason.TURN_DETECTED, 300, {}, "Well"), extensions=True)
    assert types(events) == ["output_audio_buffer.cleared", *CLOSING]
    assert events[0]["transcript"] == "Well"
    assert events[0]["response_id"] == events[-1]["response"]["id"]
    assert events[0]["audio_end_ms"] == 300


@pytest.mark.parametrize("extensions", [True, False])
def test_a_cut_after_the_end_flushes_and_closes_nothing_twice(extensions: bool) -> None:
    dialect = make(extensions=extensions)
    done = say(dialect, ResponseStarted(1), ResponseEnded({}), extensions=True)[-1]["response"]
    events = say(dialect, ResponseCut(BreakReason.TURN_DETECTED, 900, {}), extensions=True)
    assert types(events) == (["output_audio_buffer.cleared"] if extensions else [])
    assert all(event["response_id"] == done["id"] for event in events)


def test_a_hold_is_told_to_those_who_asked_for_extensions() -> None:
    plain, extended = make(), make(extensions=True)
    assert say(plain, ResponseStarted(1), ResponseHeld(), ResponseReleased())[4:] == []
    events = say(extended, ResponseStarted(1), ResponseHeld(), ResponseReleased(), extensions=True)
    assert types(events) == [*OPENING, "output_audio_buffer.ducked", "output_audio_buffer.resumed"]
    assert events[-2]["gain"] == 0.0
    assert {event["response_id"] for event in events[-2:]} == {events[0]["response"]["id"]}


def test_binary_audio_is_raw_and_only_within_a_response() -> None:
    dialect = make(binary=True)
    assert dialect.encode(ResponseAudio(b"\1\2")) == []
    say(dialect, ResponseStarted(1), extensions=True)
    assert dialect.encode(ResponseAudio(b"\1\2")) == [b"\1\2"]


def test_audio_deltas_tell_their_rate_where_extensions_were_asked_for() -> None:
    dialect = make(extensions=True)
    say(dialect, ResponseStarted(1), extensions=True)
    assert say(dialect, ResponseAudio(b"\1\2"), extensions=True)[0]["sample_rate_hz"] == 24_000


def test_notices() -> None:
    plain, extended = make(), make(extensions=True)
    assert say(plain, Warned("input_dropped", "…"), ModelListens()) == []
    assert types(say(extended, Warned("input_dropped", "…"), ModelListens(), extensions=True)) == [
        "session.warning",
        "response.listen",
    ]
    (error,) = say(plain, Refused("invalid_value", "No.", "audio", "mine"))
    assert error["error"]["event_id"] == "mine"
    assert types(say(plain, InputCleared())) == ["input_audio_buffer.cleared"]


# --- client events


@pytest.mark.parametrize(
    ("event", "request_"),
    [
        ({"type": "input_audio_buffer.append", "audio": "AQIDBA=="}, AppendAudio(b"\1\2\3\4")),
        ({"type": "input_audio_buffer.commit"}, CommitInput()),
        ({"type": "input_audio_buffer.clear"}, ClearInput()),
        ({"type": "response.create"}, CreateResponse({})),
        ({"type": "response.create", "response": {"metadata": {"a": "b"}}}, CreateResponse({"a": "b"})),
        ({"type": "response.cancel"}, CancelResponse()),
        ({"type": "output_audio_buffer.clear"}, ClearOutput()),
    ],
)
def test_requests(event: object, request_: object) -> None:
    assert ask(make(), event) == [request_]


def test_playback_reports_are_for_responses_that_were_announced() -> None:
    dialect = make(extensions=True)
    (created, *_) = say(dialect, ResponseStarted(4), extensions=True)
    known = {"type": "playback.ack", "response_id": created["response"]["id"], "played_ms": 40}
    assert ask(dialect, known) == [AcknowledgePlayback(4, 40)]
    assert ask(dialect, {**known, "response_id": "resp_of_somebody_else"}) == []


def test_session_update_is_merged_echoed_and_kept() -> None:
    dialect = make()
    update = {
        "voice_of_tomorrow": {"a": 1},
        "instructions": "Be brief.",
        "audio": {
            "input": {"format": {"type": "audio/pcm", "rate": 16_000}, "turn_detection": {"interrupt_response": False}},
            "output": {"voice": "nobody"},
        },
    }
    (request,) = ask(dialect, {"type": "session.update", "session": update})
    assert isinstance(request, Configure)
    assert request.settings.input_rate_hz == 16_000
    assert request.settings.output_rate_hz == 24_000
    assert not request.settings.interrupt_response
    assert request.settings.create_response
    # OpenAI's type knows 24 kHz only; the rate is ours to extend, so this echo is not held against it.
    session = json.loads(dialect.encode(Configured())[0])["session"]
    assert session["voice_of_tomorrow"] == {"a": 1}
    assert session["instructions"] == "Be brief."
    assert session["audio"]["output"] == {
        "format": {"type": "audio/pcm", "rate": 24_000},
        "voice": "nobody",
        "speed": 1.0,
    }
    assert session["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 600


def test_turn_detection_null_is_push_to_talk_and_can_be_switched_back() -> None:
    dialect = make()
    off = {"type": "session.update", "session": {"audio": {"input": {"turn_detection": None}}}}
    on = {"type": "session.update", "session": {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}}
    assert ask(dialect, off)[0].settings.detect_turns is False
    settings = ask(dialect, on)[0].settings
    assert settings.detect_turns
    assert settings.vad.hangover_ms == 800


def update_turns(dialect: OpenAIDialect, **turns: object) -> ConversationSettings:
    update = {"audio": {"input": {"turn_detection": {"type": "server_vad", **turns}}}}
    (request,) = ask(dialect, {"type": "session.update", "session": update})
    assert isinstance(request, Configure)
    return request.settings


def test_a_session_chooses_how_readily_it_is_interrupted() -> None:
    dialect = make()
    assert update_turns(dialect, silence_duration_ms=500).vad.barge_in == evidence_for(BargeIn.BALANCED)
    calm = update_turns(dialect, barge_in="calm")
    assert (calm.barge_in, calm.vad.barge_in) == (BargeIn.CALM, evidence_for(BargeIn.CALM))
    assert update_turns(dialect, threshold=0.8).vad.barge_in == evidence_for(BargeIn.CALM, threshold=0.8)
    exact = update_turns(dialect, threshold=0.5, interrupt_min_ms=500)
    assert exact.vad.barge_in == evidence_for(BargeIn.CALM, min_ms=500)
    assert exact.vad.hangover_ms == 500
    session = json.loads(dialect.encode(Configured())[0])["session"]
    assert session["audio"]["input"]["turn_detection"]["barge_in"] == "calm"


@pytest.mark.parametrize(
    ("name", "value"), [("barge_in", "rude"), ("threshold", 1.5), ("threshold", "high"), ("interrupt_min_ms", 0)]
)
def test_an_impossible_readiness_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InvalidEvent) as refused:
        update_turns(make(), **{name: value})
    assert refused.value.param == f"session.audio.input.turn_detection.{name}"


def test_a_refused_update_changes_nothing() -> None:
    dialect = make()
    update = {"instructions": "new", "audio": {"output": {"format": {"type": "audio/pcm", "rate": 1}}}}
    with pytest.raises(InvalidAudio) as refused:
        ask(dialect, {"type": "session.update", "session": update})
    assert refused.value.param == "session.audio.output.format.rate"
    (updated,) = say(dialect, Configured())
    assert updated["session"]["instructions"] == ""


@pytest.mark.parametrize("frame", ["", "{", "nul", "[" * 100_000, '{"type": "x"', "\ud800"])
def test_malformed_json(frame: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        make().decode(frame)
    assert refused.value.code == "invalid_json"


@pytest.mark.parametrize("audio", ["A", "====", "AQID AQID", "äöü", "AQID\n"])
def test_bad_base64(audio: str) -> None:
    with pytest.raises(InvalidAudio) as refused:
        ask(make(), {"type": "input_audio_buffer.append", "audio": audio})
    assert refused.value.param == "audio"


def test_half_a_sample_is_refused_in_either_form() -> None:
    with pytest.raises(InvalidAudio, match="not whole"):
        ask(make(), {"type": "input_audio_buffer.append", "audio": "AQID"})
    with pytest.raises(InvalidAudio, match="not whole"):
        make(binary=True).decode(b"\1\2\3")


def test_binary_where_text_is_due() -> None:
    with pytest.raises(InvalidEvent, match="audio=binary"):
        make().decode(b"\1\2")
    assert make(binary=True).decode(b"\1\2") == [AppendAudio(b"\1\2")]


def test_an_error_can_refer_to_the_clients_event() -> None:
    dialect = make()
    with pytest.raises(InvalidEvent):
        ask(dialect, {"type": "nonsense", "event_id": "mine"})
    assert dialect.event_id == "mine"
    with pytest.raises(InvalidEvent):
        dialect.decode("{")
    assert dialect.event_id is None


def test_close_and_farewell() -> None:
    dialect = make(extensions=True)
    assert ask(dialect, {"type": "session.heartbeat"}) == []
    assert not dialect.closing
    assert ask(dialect, {"type": "session.close"}) == []
    assert dialect.closing
    assert types([checked(frame, extensions=True) for frame in dialect.farewell("client_closed")]) == ["session.closed"]
    assert make().farewell("client_closed") == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["session.update", "rate"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
            ["type", "session", "audio", "input", "output", "format", "rate", "turn_detection", "response", "event_id"]
        ), inner, max_size=4),
        max_leaves=12,
    )
)  # fmt: skip
def test_no_json_value_does_more_than_raise_a_client_error(value: object) -> None:
    dialect = make(binary=True)
    event = {"type": "session.update", "session": value} if isinstance(value, dict) else value
    try:
        ask(dialect, event)
    except ClientError:
        return
    for frame in dialect.encode(Configured()):
        assert isinstance(json.loads(frame), dict)
