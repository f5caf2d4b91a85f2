"""What an update makes of a session, and what it means."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime import RealtimeSessionCreateRequest

from duplex.conversation_settings import ConversationSettings
from duplex.engine.base import Mode
from duplex.errors import InvalidEvent
from duplex.g711 import Law
from realtime.dialects.session_object import LARGEST_SESSION_BYTES, SessionObject

SETTINGS = ConversationSettings(mode=Mode.SIMPLEX)


def begin() -> SessionObject:
    return SessionObject.begin("abc", "minicpm-o-4.5", SETTINGS)


def turns(session: SessionObject, **update: Any) -> SessionObject:
    return session.updated({"audio": {"input": {"turn_detection": update}}})


def shown_turns(session: SessionObject) -> dict[str, Any]:
    shown: dict[str, Any] = session.shown["audio"]["input"]["turn_detection"]
    return shown


def test_the_first_session_is_one_of_openais() -> None:
    RealtimeSessionCreateRequest.model_validate(begin().shown)


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("interrupt", [True, False])
def test_what_turn_detection_does_is_honoured_and_echoed(create: bool, interrupt: bool) -> None:
    session = turns(begin(), create_response=create, interrupt_response=interrupt)
    assert (session.settings.create_response, session.settings.interrupt_response) == (create, interrupt)
    assert (shown_turns(session)["create_response"], shown_turns(session)["interrupt_response"]) == (create, interrupt)


@pytest.mark.parametrize(("eagerness", "hangover_ms"), [("low", 2000), ("medium", 800), ("auto", 800), ("high", 400)])
def test_eagerness_is_a_silence_window(eagerness: str, hangover_ms: int) -> None:
    session = turns(begin(), type="semantic_vad", eagerness=eagerness)
    assert session.settings.vad.hangover_ms == hangover_ms
    assert set(shown_turns(session)) == {"type", "eagerness", "create_response", "interrupt_response"}


def test_another_type_brings_its_own_defaults_back_and_forth() -> None:
    session = turns(begin(), silence_duration_ms=900, idle_timeout_ms=6000)
    assert session.settings.idle_timeout_ms == 6000
    semantic = turns(session, type="semantic_vad")
    assert semantic.settings.idle_timeout_ms is None
    assert shown_turns(turns(semantic, type="server_vad")) == shown_turns(begin())
    off = session.updated({"audio": {"input": {"turn_detection": None}}})
    assert not off.settings.detect_turns
    assert shown_turns(turns(off, threshold=0.7)) == {**shown_turns(begin()), "threshold": 0.7}


@pytest.mark.parametrize(
    ("kind", "law", "rate"), [("audio/pcm", None, 24_000), ("audio/pcmu", Law.MU, 8000), ("audio/pcma", Law.A, 8000)]
)
def test_formats(kind: str, law: Law | None, rate: int) -> None:
    both = {"input": {"format": {"type": kind}}, "output": {"format": {"type": kind}}}
    session = begin().updated({"audio": both})
    assert (session.input.law, session.output.law) == (law, law)
    assert session.settings.input_rate_hz == session.settings.output_rate_hz == rate
    expected = {"type": kind, "rate": rate} if law is None else {"type": kind}
    assert session.shown["audio"]["output"]["format"] == expected
    RealtimeSessionCreateRequest.model_validate(session.shown)
    assert session.updated({"audio": {"input": {"format": None}}}).settings.input_rate_hz == 24_000


def test_a_rate_that_g711_does_not_have() -> None:
    with pytest.raises(InvalidEvent) as refused:
        begin().updated({"audio": {"input": {"format": {"type": "audio/pcmu", "rate": 16_000}}}})
    assert refused.value.param == "session.audio.input.format.rate"


def test_null_brings_back_what_was_at_first() -> None:
    session = begin().updated({"instructions": "Be brief.", "audio": {"output": {"voice": "ash"}}, "model": "other"})
    assert (session.voice, session.shown["model"]) == ("ash", "other")
    again = session.updated({"instructions": None, "audio": {"output": {"voice": None}}, "model": None})
    assert again.shown == begin().shown


def test_what_is_ours_to_say_stays() -> None:
    session = begin().updated({"id": "mine", "object": "theirs", "audio": {"output": {"voice": {"id": "v"}}}})
    assert (session.shown["id"], session.shown["object"]) == ("abc", "realtime.session")
    assert session.voice == "v"


def test_a_session_has_an_end() -> None:
    session = begin().updated({"a": "x" * (LARGEST_SESSION_BYTES // 2)})
    with pytest.raises(InvalidEvent) as refused:
        session.updated({"b": "x" * (LARGEST_SESSION_BYTES // 2)})
    assert refused.value.param == "session"


def test_an_older_state_is_not_changed_by_a_newer() -> None:
    first = begin()
    turns(first, threshold=0.9).updated({"audio": {"output": {"format": {"type": "audio/pcmu"}}}})
    assert first.shown == begin().shown


KEYS = st.sampled_from(["instructions", "model", "tomorrow", "audio", "tools", "tool_choice"])


@given(st.dictionaries(KEYS, st.dictionaries(st.sampled_from(["a", "b"]), st.integers()) | st.text(max_size=3)))
def test_an_update_is_idempotent(update: dict[str, Any]) -> None:
    try:
        once = begin().updated(update)
    except InvalidEvent:
        return
    assert once.updated(update).shown == once.shown
