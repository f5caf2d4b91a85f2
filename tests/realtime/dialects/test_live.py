"""OpenAI Live: its events in its own types, and the stream they surround."""

import base64
import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.live import ServerEvent
from pydantic import TypeAdapter

from duplex.conversation_settings import ConversationSettings
from duplex.engine.base import Mode
from duplex.errors import ClientError, ClientStalled
from duplex.g711 import Law, expand
from duplex.messages import (
    AppendAudio,
    BreakReason,
    Committed,
    Configure,
    Configured,
    ModelListens,
    Refused,
    Request,
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
from realtime.dialects.base import Paced, SessionFacts
from realtime.dialects.live import MOST_EVENTS, USAGE_EVERY_MS, LiveDialect
from realtime.dialects.steady import TICK_MS
from tests.realtime.grammar import frames, paths

FACTS = SessionFacts("abc", "minicpm-o-4.5", "parrot", stand_in=True)
_EVENT: TypeAdapter[Any] = TypeAdapter(ServerEvent)

START = {
    "type": "session.start",
    "event_id": "first",
    "session": {
        "model": "gpt-live-1",
        "instructions": "Be brief.",
        "audio": {"format": {"type": "audio/pcm", "rate": 16_000}, "output": {"voice": "marin"}},
    },
}
EVENTS: list[dict[str, Any]] = [
    START,
    {"type": "session.update", "event_id": "e", "session": {"triggers": [], "delegation": None}},
    {"type": "session.input_audio.append", "event_id": "e", "audio": "AQIDBA=="},
    {"type": "session.input_audio.mute", "event_id": "e"},
    {"type": "session.input_audio.unmute", "event_id": "e"},
    {"type": "session.instructions.append", "event_id": "e", "content": "c", "delegation_id": None},
    {"type": "session.thinking.append", "event_id": "e", "content": "c", "delegation_id": None},
    {"type": "session.commentary.append", "event_id": "e", "content": "c", "delegation_id": None},
    {"type": "session.close", "event_id": "e"},
]

STRANGE: list[Any] = [None, 7, [], {"a": 1}, "\ud800", ...]
"""The last is for a field that is missing."""


def checked(frame: str | bytes) -> dict[str, Any]:
    """Decode one frame. Fails when OpenAI's own types would not take it."""
    assert isinstance(frame, str)
    event: dict[str, Any] = json.loads(frame)
    parsed = _EVENT.validate_python({**event, **_without_echoes(event)})
    assert type(parsed).__name__ != "dict"
    assert parsed.type == event["type"]
    assert ("event_id" in event) == (event["type"] != "session.output_audio.delta")
    return event


def _without_echoes(event: dict[str, Any]) -> dict[str, Any]:
    """The session without what the client wrote there itself: that goes back as it came."""
    ours = ("id", "status", "expires_at", "model", "instructions", "audio")
    return (
        {"session": {key: event["session"][key] for key in ours if key in event["session"]}}
        if "session" in event
        else {}
    )


class Connection:
    """A dialect with a conversation that grants everything, and a clock moved by hand."""

    def __init__(self, **options: Any) -> None:
        defaults = ConversationSettings(mode=Mode.DUPLEX)
        self.dialect = LiveDialect(FACTS, defaults, expires_at=1_800_000_000, **options)
        self.ms = 0
        self.events: list[dict[str, Any]] = []
        self.requests: list[Request] = []

    def send(self, event: object) -> list[Request]:
        requests = self.dialect.decode(event if isinstance(event, str | bytes) else json.dumps(event))
        self.requests += requests
        if any(isinstance(request, Configure) for request in requests):
            self.say(Configured())
        return requests

    def say(self, *messages: ServerMessage) -> None:
        for message in messages:
            assert self.dialect.encode(message) == [], "one way out keeps one order"

    def play(self, ms: int = 0) -> list[dict[str, Any]]:
        self.ms += ms
        new: list[dict[str, Any]] = []
        while taken := self.dialect.take(90.0 + self.ms / 1000):
            new += map(checked, taken)
        self.events += new
        return new

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


def started(start: dict[str, Any] = START, **options: Any) -> Connection:
    connection = Connection(**options)
    connection.send(start)
    connection.play()
    return connection


def sound(events: list[dict[str, Any]]) -> bytes:
    return b"".join(base64.b64decode(event["delta"]) for event in events if event["type"].endswith("audio.delta"))


def append(pcm: bytes) -> dict[str, Any]:
    return {"type": "session.input_audio.append", "audio": base64.b64encode(pcm).decode()}


def refusal(connection: Connection, event: object) -> ClientError:
    with pytest.raises(ClientError) as refused:
        connection.send(event)
    return refused.value


# --- the beginning


def test_nothing_is_said_before_the_client_has_started() -> None:
    connection = Connection()
    assert connection.dialect.greet() == []
    assert connection.play(10_000) == []
    assert connection.dialect.due_at() == float("inf")
    assert isinstance(connection.dialect, Paced)


def test_the_start_is_answered_with_the_whole_session_before_any_sound() -> None:
    connection = Connection()
    (configure,) = connection.send(START)
    assert isinstance(configure, Configure)
    assert (configure.settings.input_rate_hz, configure.settings.output_rate_hz) == (16_000, 16_000)
    first, note, delta = connection.play()
    assert first["type"] == "session.started"
    assert first["client_event_id"] == "first"
    session = first["session"]
    assert session["audio"] == START["session"]["audio"]  # type: ignore[index]
    assert (session["id"], session["status"], session["expires_at"]) == ("abc", "active", 1_800_000_000)
    assert (session["model"], session["instructions"]) == ("gpt-live-1", "Be brief.")
    assert (note["type"], note["code"]) == ("info", "ignored_by_engine")
    assert delta["type"] == "session.output_audio.delta"


def test_a_start_that_says_little_gets_the_defaults() -> None:
    connection = started({"type": "session.start", "session": {"model": "m"}})
    assert connection.types == ["session.started", "session.output_audio.delta"]
    assert connection.events[0]["session"]["audio"] == {
        "format": {"type": "audio/pcm", "rate": 24_000},
        "output": {"voice": "default"},
    }
    assert "client_event_id" not in connection.events[0]
    assert len(sound(connection.events)) == 24 * TICK_MS * 2


@pytest.mark.parametrize("empty", [{"audio": None}, {"audio": {"format": None, "output": None}}, {"audio": {}}])
def test_null_is_the_default_too(empty: dict[str, Any]) -> None:
    connection = started({"type": "session.start", "session": {"model": "m", **empty}})
    assert connection.events[0]["session"]["audio"]["format"]["rate"] == 24_000


def test_a_client_cannot_name_its_own_session() -> None:
    session = {"model": "m", "id": "stolen", "status": "closed", "expires_at": 1}
    connection = started({"type": "session.start", "session": session})
    assert connection.events[0]["session"]["id"] == "abc"


@pytest.mark.parametrize(
    "event", [event for event in EVENTS if event["type"] not in {"session.start", "session.close"}]
)
def test_everything_else_waits_for_the_start(event: dict[str, Any]) -> None:
    assert refusal(Connection(), event).code == "session_not_started"


def test_the_start_comes_once() -> None:
    assert refusal(started(), START).code == "session_already_started"


# --- the stream


def test_silence_is_true_zeros_in_real_time() -> None:
    connection = started()
    assert not any(sound(connection.play(2000)))
    assert len(sound(connection.events)) == (2000 + TICK_MS) * 16 * 2


def test_an_answer_is_heard_whole_and_then_silence() -> None:
    connection = started()
    connection.say(ResponseStarted(1), ResponseText("Yes."), ResponseAudio(b"\1\2" * 1600), ResponseEnded({}))
    pcm = sound(connection.play(400))
    assert pcm.rstrip(b"\0") == b"\1\2" * 1600
    (words,) = [event for event in connection.events if event["type"] == "session.output_transcript.delta"]
    assert (words["delta"], words["start_ms"], words["end_ms"]) == ("Yes.", TICK_MS, TICK_MS + 260)


@pytest.mark.parametrize("reason", list(BreakReason))
def test_a_break_is_zeros_with_the_next_piece_and_no_event(reason: BreakReason) -> None:
    connection = started()
    connection.say(ResponseStarted(1), ResponseText("A long"), ResponseAudio(b"\1\2" * 16_000), ResponseText(" story."))
    assert any(sound(connection.play(TICK_MS)))
    connection.say(SpeechStarted(10), ResponseCut(reason, 40, {}, "A"))
    after = connection.play(3000)
    assert not any(sound(after))
    assert {event["type"] for event in after} == {"session.output_audio.delta"}


def test_a_hold_is_silence_too_and_loses_nothing() -> None:
    connection = started()
    connection.say(ResponseStarted(1), ResponseAudio(b"\1\2" * 1600), ResponseHeld())
    assert not any(sound(connection.play(200)))
    connection.say(ResponseReleased())
    assert sound(connection.play(400)).rstrip(b"\0") == b"\1\2" * 1600


def test_what_the_protocol_has_no_word_for_is_not_said() -> None:
    connection = started()
    connection.say(ModelListens(), Committed(), SpeechStarted(1), SpeechStopped(2))
    assert {event["type"] for event in connection.play(400)} == {"session.output_audio.delta"}


@pytest.mark.parametrize("law", list(Law))
def test_g711_both_ways(law: Law) -> None:
    session = {"model": "m", "audio": {"format": {"type": f"audio/{law}", "rate": 8000}}}
    connection = started({"type": "session.start", "session": session})
    assert connection.events[0]["session"]["audio"]["format"] == {"type": f"audio/{law}", "rate": 8000}
    loud = bytes([0x10, 0x20, 0xA0])
    assert connection.send(append(loud)) == [AppendAudio(expand(loud, law))]
    assert len(sound(connection.events)) == 8 * TICK_MS
    quiet = np.frombuffer(expand(sound(connection.events), law), "<i2")
    assert np.abs(quiet).max() <= 8
    connection.say(ResponseStarted(1), ResponseAudio(expand(loud * 100, law)))
    assert sound(connection.play(TICK_MS))[: len(loud) * 100] == loud * 100


def test_usage_is_told_from_time_to_time() -> None:
    connection = started()
    connection.play(2 * USAGE_EVERY_MS)
    usages = [event["usage"]["seconds"] for event in connection.events if event["type"] == "session.usage.updated"]
    assert usages == [10.0, 20.0]


# --- what the client says later


def test_appended_sound_is_heard() -> None:
    assert started().send(append(b"\1\2\3\4")) == [AppendAudio(b"\1\2\3\4")]


def test_muted_the_model_hears_silence_of_the_same_length() -> None:
    connection = started()
    assert connection.send({"type": "session.input_audio.mute", "event_id": "m"}) == []
    assert connection.send(append(b"\1\2\3\4")) == [AppendAudio(bytes(4))]
    connection.send({"type": "session.input_audio.unmute"})
    assert connection.send(append(b"\1\2")) == [AppendAudio(b"\1\2")]
    muted, unmuted = connection.play()
    assert (muted["type"], muted["client_event_id"]) == ("session.input_audio.muted", "m")
    assert unmuted["type"] == "session.input_audio.unmuted"


def test_updates_are_kept_and_the_fixed_is_refused() -> None:
    connection = started()
    connection.send({"type": "session.update", "event_id": "u", "session": {"triggers": []}})
    (updated,) = connection.play()
    assert (updated["type"], updated["session"]["triggers"]) == ("session.updated", [])
    assert updated["session"]["audio"]["format"]["rate"] == 16_000
    for key in ("model", "instructions", "audio", "input", "client"):
        refused = refusal(connection, {"type": "session.update", "session": {key: "x", "triggers": None}})
        assert (refused.code, refused.param) == ("immutable_parameter", f"session.{key}")


@pytest.mark.parametrize("what", ["instructions", "thinking"])
def test_text_to_know_is_acknowledged_and_said_to_have_no_effect(what: str) -> None:
    connection = started()
    connection.play(1000)
    connection.send({"type": f"session.{what}.append", "content": "c", "event_id": "t"})
    taken, note = connection.play()
    assert taken["type"] == f"session.{what}.appended"
    assert taken["start_ms"] == taken["end_ms"] == 1000 + TICK_MS
    assert taken["client_event_id"] == note["client_event_id"] == "t"
    assert note["code"] == "ignored_by_engine"


def test_text_to_say_is_refused() -> None:
    refused = refusal(started(), {"type": "session.commentary.append", "content": "Say it."})
    assert refused.code == "unsupported_by_engine"


def test_speech_is_marked_only_where_that_was_asked_for() -> None:
    connection = started(marks_speech=True)
    connection.say(SpeechStarted(700), SpeechStopped(1900))
    (mark,) = connection.play()
    assert mark["type"] == "session.input_transcript.delta"
    assert (mark["start_ms"], mark["end_ms"]) == (700, 1900)


def test_a_refusal_names_the_clients_event() -> None:
    connection = started()
    connection.say(Refused("invalid_value", "No.", "audio", "mine"), Warned("input_dropped", "Gone."))
    error, info = connection.play()
    assert error["error"]["client_event_id"] == error["client_event_id"] == "mine"
    assert (error["error"]["code"], error["error"]["param"]) == ("invalid_value", "audio")
    assert (info["type"], info["code"]) == ("info", "input_dropped")


# --- the end


def test_the_end_has_the_reason_the_session_and_the_usage() -> None:
    connection = started()
    connection.play(1000)
    connection.send({"type": "session.input_audio.mute"})
    connection.send({"type": "session.close", "event_id": "bye"})
    assert connection.dialect.closing
    muted, closed = map(checked, connection.dialect.farewell("client_closed"))
    assert muted["type"] == "session.input_audio.muted", "nothing that was said is lost"
    assert (closed["reason"], closed["client_event_id"]) == ("close_requested", "bye")
    assert closed["usage"]["seconds"] == 1.0 + TICK_MS / 1000
    assert closed["session"]["status"] == "active"


def test_a_session_that_never_started_has_no_end() -> None:
    connection = Connection()
    connection.send({"type": "session.close"})
    assert connection.dialect.closing
    assert connection.dialect.farewell("client_closed") == []


# --- bad input


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        (b"\0\0", "invalid_type", None),
        ("{", "invalid_json", None),
        ("[]", "invalid_type", None),
        ({}, "invalid_value", "type"),
        ({"type": "response.create"}, "invalid_value", "type"),
        ({"type": "session.input_audio.append"}, "missing_required_parameter", "audio"),
        ({"type": "session.input_audio.append", "audio": 7}, "invalid_type", "audio"),
        ({"type": "session.input_audio.append", "audio": "?"}, "invalid_value", "audio"),
        ({"type": "session.input_audio.append", "audio": "é"}, "invalid_value", "audio"),
        (append(b"\1\2\3"), "invalid_value", "audio"),
        ({"type": "session.instructions.append"}, "missing_required_parameter", "content"),
        ({"type": "session.thinking.append", "content": "c", "delegation_id": 1}, "invalid_type", "delegation_id"),
        ({"type": "session.update", "session": {"triggers": 1}}, "invalid_type", "session.triggers"),
        ({"type": "session.close", "event_id": 1}, "invalid_type", "event_id"),
    ],
)
def test_bad_events_have_a_code_and_a_place_and_change_nothing(event: object, code: str, param: str | None) -> None:
    connection = started()
    refused = refusal(connection, event)
    assert (refused.code, refused.param) == (code, param)
    assert connection.send(append(b"\1\2")) == [AppendAudio(b"\1\2")]
    assert connection.play() == []


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ({}, "missing_required_parameter", "session.model"),
        ({"audio": {"format": {"type": "audio/pcm", "rate": 8000}}}, "invalid_value", "session.audio.format.rate"),
        ({"audio": {"format": {"type": "audio/pcmu", "rate": 16_000}}}, "invalid_value", "session.audio.format.rate"),
        ({"audio": {"format": {"type": "audio/opus"}}}, "invalid_value", "session.audio.format.type"),
        ({"audio": {"format": {"type": "audio/pcm", "rate": "1"}}}, "invalid_type", "session.audio.format.rate"),
        ({"audio": {"format": "pcm16"}}, "invalid_type", "session.audio.format"),
        ({"instructions": 1}, "invalid_type", "session.instructions"),
    ],
)
def test_a_start_that_cannot_be_may_be_sent_again(session: dict[str, Any], code: str, param: str) -> None:
    connection = Connection()
    whole = session if code == "missing_required_parameter" else {"model": "m", **session}
    refused = refusal(connection, {"type": "session.start", "session": whole})
    assert (refused.code, refused.param) == (code, param)
    connection.send(START)
    assert connection.play()[0]["type"] == "session.started"


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event["type"])
def test_every_field_missing_or_of_another_type_is_an_error_or_harmless(event: dict[str, Any]) -> None:
    for path in paths(event):
        for strange in STRANGE:
            connection = Connection() if event is START else started()
            mangled = json.loads(json.dumps(event))
            place = mangled
            for key in path[:-1]:
                place = place[key]
            if strange is ...:
                del place[path[-1]]
            else:
                place[path[-1]] = strange
            with contextlib.suppress(ClientError):
                connection.send(mangled)
            if event is START and connection.requests == []:
                connection.send(START)
            assert connection.send(append(b"\1\2"))
            assert not any(sound(connection.play(100)))


def test_a_client_that_asks_and_does_not_read_has_stalled() -> None:
    connection = started()
    for _ in range(MOST_EVENTS):
        connection.send({"type": "session.input_audio.mute"})
    with pytest.raises(ClientStalled):
        connection.send({"type": "session.input_audio.mute"})


SAID: list[ServerMessage] = [
    ResponseStarted(1),
    ResponseText("word "),
    ResponseAudio(b"\1\2" * 800),
    ResponseHeld(),
    ResponseReleased(),
    ResponseEnded({}),
    ResponseCut(BreakReason.TURN_DETECTED, 10, {}, ""),
    SpeechStarted(100),
    SpeechStopped(50),
    Warned("input_dropped", "Gone."),
    Refused("invalid_value", "No."),
    ModelListens(),
]


@settings(max_examples=250, deadline=None)
@given(st.lists(st.one_of(frames(EVENTS), st.sampled_from(SAID), st.integers(0, 500)), max_size=25), st.booleans())
def test_whatever_is_sent_the_stream_goes_on(acts: list[Any], begun: bool) -> None:
    connection = started() if begun else Connection(marks_speech=True)
    for act in acts:
        if isinstance(act, int):
            connection.play(act)
        elif isinstance(act, str | bytes):
            with contextlib.suppress(ClientError):
                connection.send(act)
        else:
            connection.say(act)
    connection.play(40)
    if "session.started" in connection.types:
        before = connection.types[: connection.types.index("session.started")]
        assert set(before) <= {"error", "info", "session.input_transcript.delta"}
        assert connection.types.count("session.started") == 1
        connection.say(ResponseCut(BreakReason.CLIENT_CANCELLED, 0, {}))
        assert not any(sound(connection.play(200)))
    else:
        assert "session.output_audio.delta" not in connection.types
    for closed in map(checked, connection.dialect.farewell("client_closed")):
        assert closed["type"] == "session.closed"
