"""What the model hears and sees beside the microphone, and when it goes on by itself."""

import pytest

from duplex.effects import Decode, Prefill
from duplex.engine.base import EngineAudio, EngineIdle, EngineText
from duplex.errors import InvalidEvent
from duplex.messages import (
    AppendAudio,
    Aside,
    CancelResponse,
    Committed,
    CreateResponse,
    HearClip,
    InputTimedOut,
    ResponseStarted,
    ShowPicture,
    SpeechStarted,
    SpeechStopped,
)
from tests.duplex.talk import LOUD, QUIET, Talk, duplex, heard, kinds, loud_s, messages, simplex


def prefills(effects: list[object]) -> list[tuple[int, bytes | None]]:
    return [(len(e.pcm), e.image) for e in effects if isinstance(e, Prefill)]


def played(talk: Talk) -> None:
    """A whole answer, heard to its end."""
    talk.engine(EngineText("Yes."), EngineAudio(b"\1\1" * 2400), EngineIdle())
    talk.play()
    talk.wait(0.2)


# --- pictures


def test_a_duplex_model_sees_the_newest_picture_with_its_next_second() -> None:
    talk = Talk(duplex())
    for shown in (b"old", b"new"):
        assert talk.ask(ShowPicture(shown)) == []
    assert prefills([*talk.hear(QUIET, 2.0)]) == [(32_000, b"new"), (32_000, None)]


def test_a_simplex_model_sees_all_that_wait_before_it_answers() -> None:
    talk = Talk(simplex())
    for shown in (b"a", b"b"):
        talk.ask(ShowPicture(shown))
    effects = [*talk.hear(LOUD, 1.0), *talk.hear(QUIET, 1.0)]
    assert [image for _, image in prefills([*effects]) if image] == [b"a", b"b"]
    alone = talk.ask(CreateResponse()) if not any(isinstance(e, Decode) for e in effects) else []
    assert alone == []


def test_a_picture_alone_can_be_answered() -> None:
    talk = Talk(simplex(detect_turns=False))
    talk.ask(ShowPicture(b"a"))
    effects = talk.ask(CreateResponse())
    assert prefills([*effects]) == [(0, b"a")]
    assert kinds(effects)[-1] is Decode


# --- recordings


def test_a_recording_is_heard_whole_and_answered_when_asked() -> None:
    talk = Talk(simplex())
    effects = talk.ask(HearClip(LOUD * 24_000))
    assert prefills([*effects]) == [(32_000, None), (16_000, None)]
    assert loud_s(heard(effects)) == 1.5
    assert kinds(talk.ask(CreateResponse())) == [ResponseStarted, Decode]


def test_a_duplex_model_thinks_after_each_second_of_it() -> None:
    assert kinds(Talk(duplex()).ask(HearClip(LOUD * 32_000))) == [Prefill, Decode, Prefill, Decode]


# --- going on by itself


def test_the_model_goes_on_when_nobody_speaks() -> None:
    talk = Talk(simplex(idle_timeout_ms=5000))
    talk.hear(LOUD, 0.5)
    talk.hear(QUIET, 1.0)
    played(talk)
    assert talk.hear(QUIET, 4.0) == []
    before = talk.wait(0.5)
    assert before == []
    effects = talk.wait(1.0)
    assert kinds(effects) == [InputTimedOut, Prefill, Committed, ResponseStarted, Decode]
    timed_out = messages(effects)[0]
    assert isinstance(timed_out, InputTimedOut)
    assert timed_out.end_ms == 5500
    assert loud_s(heard(effects)) == 0
    played(talk)
    assert InputTimedOut in kinds(talk.wait(5.1)), "and again, after that answer"


def test_speech_and_only_speech_keeps_it_from_going_on() -> None:
    talk = Talk(simplex(idle_timeout_ms=5000))
    talk.hear(LOUD, 0.5)
    talk.hear(QUIET, 1.0)
    assert InputTimedOut not in kinds(talk.wait(20.0)), "not while an answer is due"
    played(talk)
    talk.hear(QUIET, 4.5)
    talk.hear(LOUD, 0.5)
    assert InputTimedOut not in kinds(talk.hear(QUIET, 0.3))


@pytest.mark.parametrize("chosen", [{"idle_timeout_ms": None}, {"idle_timeout_ms": 5000, "detect_turns": False}])
def test_where_it_does_not_apply(chosen: dict[str, object]) -> None:
    talk = Talk(simplex(**chosen))
    talk.ask(CreateResponse())
    played(talk)
    assert talk.wait(60.0) == []


def test_without_create_response_the_silence_is_committed_and_not_answered() -> None:
    talk = Talk(simplex(idle_timeout_ms=5000, create_response=False))
    talk.ask(CreateResponse())
    played(talk)
    assert kinds(talk.wait(5.1)) == [InputTimedOut, Prefill, Committed]
    assert talk.wait(60.0) == []


# --- answers that wait for a break


def broken(talk: Talk) -> None:
    talk.ask(CreateResponse())
    talk.engine(EngineText("Well"))
    talk.ask(CancelResponse())


def test_an_answer_asked_for_during_a_break_can_be_asked_for_once() -> None:
    talk = Talk(simplex())
    broken(talk)
    assert talk.ask(CreateResponse({"a": "b"})) == []
    with pytest.raises(InvalidEvent) as refused:
        talk.ask(CreateResponse())
    assert refused.value.code == "conversation_already_has_active_response"
    started = messages(talk.engine(EngineIdle(interrupted=True)))[0]
    assert isinstance(started, ResponseStarted)
    assert started.metadata == {"a": "b"}


def test_and_cancelled_before_it_begins() -> None:
    talk = Talk(simplex())
    broken(talk)
    talk.ask(CreateResponse({"a": "b"}))
    assert talk.ask(CancelResponse()) == []
    assert talk.engine(EngineIdle(interrupted=True)) == []


def test_an_aside_comes_back_in_its_place() -> None:
    talk = Talk(simplex())
    aside = Aside(object())
    assert messages(talk.ask(aside)) == [aside]


def test_an_utterance_that_begins_and_ends_in_one_message_is_heard() -> None:
    talk = Talk(simplex())
    effects = talk.ask(AppendAudio(LOUD * 8000 + QUIET * 16_000))
    assert [kind for kind in kinds(effects) if kind is not Prefill] == [
        SpeechStarted,
        SpeechStopped,
        Committed,
        ResponseStarted,
        Decode,
    ]
    assert loud_s(heard(effects)) == 0.5
