"""The MiniCPM-o demo's own protocol, event by event."""

import base64
import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplex.conversation_settings import ConversationSettings
from duplex.engine.base import Mode
from duplex.errors import ClientError
from duplex.messages import (
    AppendAudio,
    BreakReason,
    CancelResponse,
    ClearOutput,
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
    ShowPicture,
    SpeechStarted,
    SpeechStopped,
    Warned,
)
from realtime.dialects.base import Paced, SessionFacts
from realtime.dialects.minicpmo import LONGEST_SESSION_S, LONGEST_SLICE_S, SHORTEST_SLICE_S, MiniCPMODialect
from tests.realtime.grammar import frames, paths
from tests.realtime.wire import PIXEL

FACTS = SessionFacts("abc", "minicpm-o-4.5", "parrot", stand_in=True)
SETTINGS = ConversationSettings(mode=Mode.DUPLEX, input_rate_hz=16_000)
SLICE = np.zeros(16_000, "<f4")


def b64(samples: "np.typing.ArrayLike") -> str:
    return base64.b64encode(np.asarray(samples, "<f4").tobytes()).decode()


def append(samples: "np.typing.ArrayLike" = SLICE, **fields: Any) -> dict[str, Any]:
    return {"type": "input_audio_buffer.append", "audio": b64(samples), **fields}


UPDATE: dict[str, Any] = {
    "type": "session.update",
    "session": {
        "instructions": "Be brief.",
        "ref_audio": "AAAA",
        "tts_ref_audio": "AAAA",
        "max_slice_nums": 1,
        "voice_config": {"speed": 1},
    },
}
EVENTS: list[dict[str, Any]] = [
    UPDATE,
    append(np.zeros(4000), force_listen=False, video_frames=["AAAA"], max_slice_nums=1),
    {"type": "response.cancel"},
    {"type": "session.close", "reason": "user_stop"},
]
STRANGE: list[Any] = [None, 7, [], {"a": 1}, "\ud800", ...]
"""The last is for a field that is missing."""
FIELDS = {
    "session.queue_done": set(),
    "session.created": {"session_id", "prompt_length"},
    "session.closed": {"reason"},
    "response.output_audio.delta": {"text", "audio", "end_of_turn", "kv_cache_length"},
    "response.listen": {"kv_cache_length"},
    "response.cancelled": set(),
    "error": {"error"},
}


def checked(frame: str | bytes) -> dict[str, Any]:
    """Decode one frame: an event the demo's clients know, with every field they read."""
    assert isinstance(frame, str)
    event: dict[str, Any] = json.loads(frame)
    assert set(event) == {"type", *FIELDS[event["type"]]}
    return event


class Connection:
    def __init__(self, mode: str = "audio") -> None:
        self.dialect = MiniCPMODialect(FACTS, SETTINGS, mode=mode)
        self.events = [checked(frame) for frame in self.dialect.greet()]
        self.now = 70.0

    def send(self, event: object) -> list[Request]:
        requests = self.dialect.decode(event if isinstance(event, str | bytes) else json.dumps(event))
        if any(isinstance(request, Configure) for request in requests):
            self.say(Configured())
        return requests

    def say(self, *messages: ServerMessage) -> list[dict[str, Any]]:
        new = [checked(frame) for message in messages for frame in self.dialect.encode(message)]
        self.events += new
        return new

    def wait(self, seconds: float = 0.0) -> list[dict[str, Any]]:
        self.now += seconds
        new = [checked(frame) for frame in self.dialect.take(self.now)]
        self.events += new
        return new


def begun(mode: str = "audio") -> Connection:
    connection = Connection(mode)
    connection.send(UPDATE)
    connection.wait()
    return connection


def refusal(connection: Connection, event: object) -> ClientError:
    with pytest.raises(ClientError) as refused:
        connection.send(event)
    return refused.value


# --- the way in


def test_the_client_waits_for_its_place_and_then_prepares() -> None:
    connection = Connection()
    assert [event["type"] for event in connection.events] == ["session.queue_done"]
    assert connection.send(UPDATE) == [Configure(SETTINGS)]
    assert connection.events[-1] == {"type": "session.created", "session_id": "abc", "prompt_length": 0}


@pytest.mark.parametrize("session", [{}, {"instructions": None, "voice_config": None}, {"something": "new"}])
def test_little_is_enough_to_prepare(session: dict[str, Any]) -> None:
    assert Connection().send({"type": "session.update", "session": session}) == [Configure(SETTINGS)]


def test_sound_before_that_is_not_ready_and_preparing_comes_once() -> None:
    connection = Connection()
    assert refusal(connection, append()).code == "not_ready"
    connection.send(UPDATE)
    assert refusal(connection, UPDATE).code == "invalid_payload"
    assert connection.send(append())


# --- slices


def test_floats_become_samples() -> None:
    samples = np.resize([0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -7.0], 4900)
    (request,) = begun().send(append(samples))
    assert isinstance(request, AppendAudio)
    heard = np.frombuffer(request.pcm, "<i2")
    assert heard[:7].tolist() == [0, 16_384, -16_384, 32_767, -32_768, 32_767, -32_768]
    assert len(heard) == len(samples)


@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=50))
def test_every_sample_is_the_nearest_one(values: list[float]) -> None:
    samples = np.resize(np.array(values, "<f4"), 4000)
    (request,) = begun().send(append(samples))
    assert isinstance(request, AppendAudio)
    heard = np.frombuffer(request.pcm, "<i2").astype(float) / 32_768
    assert np.abs(heard - np.clip(samples, -1, 1)).max() <= 1 / 32_768


def test_the_other_base64_is_understood_too() -> None:
    samples = np.full(4000, np.frombuffer(b"\xfb\xff\xbe\xbf", "<f4")[0], "<f4")
    standard = append(samples)
    other = {**standard, "audio": base64.urlsafe_b64encode(samples.tobytes()).decode()}
    assert other != standard
    assert begun().send(other) == begun().send(standard)


@pytest.mark.parametrize("seconds", [SHORTEST_SLICE_S, 1.0, LONGEST_SLICE_S])
def test_slices_from_the_shortest_to_the_longest(seconds: float) -> None:
    assert begun().send(append(np.zeros(round(seconds * 16_000))))


@pytest.mark.parametrize(
    ("audio", "why"),
    [
        ("", "0.00 s"),
        ("?", "base64"),
        ("\u00e9", "base64"),
        (b64(SLICE)[:-4], "32-bit"),
        (b64(np.zeros(3999)), "0.25 s"),
        (b64(np.zeros(480_001)), "30"),
        (b64([*np.zeros(15_999), np.nan]), "NaN"),
        (b64([np.inf, *np.zeros(15_999)]), "infinite"),
        (b64([-np.inf, *np.zeros(15_999)]), "infinite"),
    ],
)
def test_what_is_no_slice_is_refused_with_the_reason_and_not_heard(audio: str, why: str) -> None:
    connection = begun()
    refused = refusal(connection, {"type": "input_audio_buffer.append", "audio": audio})
    assert (refused.code, refused.param) == ("invalid_payload", "audio")
    assert why in str(refused)
    assert connection.send(append())


def test_made_to_listen_it_is_silenced_before_it_hears() -> None:
    silenced, heard = begun().send(append(force_listen=True))
    assert silenced == ClearOutput()
    assert isinstance(heard, AppendAudio)


def test_pictures_are_seen_with_the_sound_beside_them() -> None:
    shown, heard = begun("video").send(append(video_frames=[PIXEL]))
    assert shown == ShowPicture(base64.b64decode(PIXEL))
    assert isinstance(heard, AppendAudio)
    silenced, *_ = begun("video").send(append(video_frames=[PIXEL], force_listen=True))
    assert silenced == ClearOutput()


@pytest.mark.parametrize("frame", ["AAAA", "?", PIXEL[:60], "http://example.com/a.png"])
def test_a_damaged_picture_is_refused_by_name(frame: str) -> None:
    refused = refusal(begun("video"), append(video_frames=[PIXEL, frame]))
    assert (refused.code, refused.param) == ("invalid_payload", "video_frames[1]")


def test_where_there_are_no_pictures_that_is_said_once_and_the_sound_is_heard() -> None:
    connection = begun("audio")
    for _ in range(3):
        (heard,) = connection.send(append(video_frames=["AAAA"]))
        assert isinstance(heard, AppendAudio)
    assert connection.dialect.due_at() == float("-inf")
    (error,) = connection.wait()
    assert (error["error"]["code"], error["error"]["param"]) == ("invalid_payload", "video_frames")
    connection.send(append(video_frames=[]))
    assert connection.wait() == []


# --- what the model says


def test_an_answer_in_deltas() -> None:
    connection = begun()
    said = connection.say(
        ResponseStarted(1),
        ResponseText("Yes"),
        ResponseText(", sir"),
        ResponseAudio(np.array([0, 16_384, -32_768], "<i2").tobytes()),
        ResponseAudio(b"\0\0"),
        ResponseText("."),
        ResponseEnded({"speech_end_to_first_audio_ms": 1}),
    )
    assert [event["text"] for event in said] == ["Yes, sir", "", "."]
    assert [event["end_of_turn"] for event in said] == [False, False, True]
    assert np.frombuffer(base64.b64decode(said[0]["audio"]), "<f4").tolist() == [0.0, 0.5, -1.0]
    assert said[-1]["audio"] == ""


def test_listening_is_said_every_second() -> None:
    assert begun().say(ModelListens()) == [{"type": "response.listen", "kv_cache_length": 0}]


@pytest.mark.parametrize(
    ("reason", "kinds"),
    [
        (BreakReason.TURN_DETECTED, ["response.listen"]),
        (BreakReason.CLIENT_CANCELLED, ["response.cancelled", "response.listen"]),
    ],
)
def test_a_break_tells_the_client_to_drop_what_it_plays(reason: BreakReason, kinds: list[str]) -> None:
    connection = begun()
    connection.say(ResponseStarted(1), ResponseAudio(b"\1\2"), ResponseText("never said"))
    assert [event["type"] for event in connection.say(ResponseCut(reason, 10, {}, ""))] == kinds
    (next_delta,) = connection.say(ResponseStarted(2), ResponseAudio(b"\1\2"))
    assert next_delta["text"] == ""


def test_cancelling_is_asked_for_and_may_be_refused() -> None:
    connection = begun()
    assert connection.send({"type": "response.cancel"}) == [CancelResponse()]
    (error,) = connection.say(Refused("response_cancel_not_active", "Nothing is said."))
    assert error["error"]["code"] == "response_cancel_not_active"


def test_what_the_protocol_has_no_word_for_is_not_said() -> None:
    silent: list[ServerMessage] = [
        SpeechStarted(1),
        SpeechStopped(2),
        Committed(),
        ResponseHeld(),
        ResponseReleased(),
        Warned("c", "t"),
    ]
    assert begun().say(*silent) == []


# --- the end


def test_the_client_ends_it() -> None:
    connection = begun()
    assert connection.send({"type": "session.close", "reason": "user_stop"}) == []
    assert connection.dialect.closing
    assert list(map(checked, connection.dialect.farewell("x"))) == [{"type": "session.closed", "reason": "stopped"}]


@pytest.mark.parametrize("mode", LONGEST_SESSION_S)
def test_its_time_is_up(mode: str) -> None:
    connection = Connection(mode)
    connection.wait(10_000)
    assert connection.dialect.due_at() == float("inf"), "the time of a session begins with it"
    connection.send(UPDATE)
    connection.wait()
    limit_s = LONGEST_SESSION_S[mode]
    assert connection.dialect.due_at() == connection.now + limit_s
    connection.wait(limit_s - 1)
    assert not connection.dialect.closing
    connection.wait(1)
    assert connection.dialect.closing
    assert list(map(checked, connection.dialect.farewell("x"))) == [{"type": "session.closed", "reason": "timeout"}]


# --- bad input


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        (b"\0\0", "invalid_payload", None),
        ("{", "invalid_payload", None),
        ("[]", "invalid_payload", None),
        ({}, "unknown_event", "type"),
        ({"type": "make.coffee"}, "unknown_event", "type"),
        ({"type": "session.update"}, "missing_field", "session"),
        ({"type": "session.update", "session": {"ref_audio": 1}}, "invalid_payload", "session.ref_audio"),
        ({"type": "input_audio_buffer.append"}, "missing_field", "audio"),
        ({"type": "input_audio_buffer.append", "audio": 7}, "invalid_payload", "audio"),
        (append(force_listen="yes"), "invalid_payload", "force_listen"),
        (append(video_frames="AAAA"), "invalid_payload", "video_frames"),
        (append(video_frames=[1]), "invalid_payload", "video_frames[0]"),
        ({"type": "session.close", "reason": 1}, "invalid_payload", "reason"),
    ],
)
def test_bad_events_have_the_demos_codes_and_change_nothing(event: object, code: str, param: str | None) -> None:
    connection = begun()
    refused = refusal(connection, event)
    assert (refused.code, refused.param) == (code, param)
    assert not connection.dialect.closing
    assert connection.send(append())
    assert connection.wait() == []


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event["type"])
def test_every_field_missing_or_of_another_type_is_an_error_or_harmless(event: dict[str, Any]) -> None:
    for path in paths(event):
        for strange in STRANGE:
            connection = Connection() if event is UPDATE else begun()
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
            with contextlib.suppress(ClientError):
                connection.send(UPDATE)
            assert connection.send(append())


SAID: list[ServerMessage] = [
    ResponseStarted(1),
    ResponseText("word "),
    ResponseAudio(b"\1\2" * 800),
    ResponseEnded({}),
    ResponseCut(BreakReason.TURN_DETECTED, 10, {}, ""),
    ResponseCut(BreakReason.CLIENT_CANCELLED, 10, {}, ""),
    Refused("invalid_value", "No."),
    ModelListens(),
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(frames(EVENTS), st.sampled_from(SAID), st.integers(0, 200)), max_size=25))
def test_whatever_is_sent_only_known_events_come_back(acts: list[Any]) -> None:
    connection = Connection()
    for act in acts:
        if isinstance(act, int):
            connection.wait(act)
        elif isinstance(act, str | bytes):
            with contextlib.suppress(ClientError):
                connection.send(act)
        else:
            connection.say(act)
    kinds = [event["type"] for event in connection.events]
    assert kinds.count("session.created") <= 1
    assert isinstance(connection.dialect, Paced)
    (closed,) = map(checked, connection.dialect.farewell("client_closed"))
    assert closed["reason"] in {"stopped", "timeout"}
