"""Turn by turn: what each party does, and what comes of it."""

import pytest

from duplex.barge_in import BargeIn
from duplex.conversation_settings import AfterBreak
from duplex.effects import Decode, Flush, Hold, Interrupt, Prefill, Release, Say, Speak
from duplex.engine.base import EngineAudio, EngineIdle, EngineListen, EngineText
from duplex.engine.context import FULL, ROOMY
from duplex.errors import EngineStalled, InvalidAudio, InvalidEvent
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
    ResponseAudio,
    ResponseCut,
    ResponseEnded,
    ResponseHeld,
    ResponseReleased,
    ResponseStarted,
    ResponseText,
    SpeechStarted,
    SpeechStopped,
    Warned,
)
from duplex.turns import TurnState
from duplex.vad import VadSettings
from tests.duplex.talk import LOUD, QUIET, Talk, duplex, heard, kinds, loud_s, messages, seconds, simplex

SECOND_OF_SOUND = EngineAudio(bytes(48_000))


def answered(talk: Talk, question_s: float = 1.0) -> Talk:
    """Simplex: a question was asked and the engine has begun to answer."""
    talk.hear(QUIET, 0.5)
    talk.hear(LOUD, question_s)
    talk.hear(QUIET, 0.7)
    talk.engine(EngineText("Yes, "), SECOND_OF_SOUND)
    assert talk.state() is TurnState.RESPONDING
    return talk


def speaking_model(talk: Talk) -> Talk:
    """Duplex: the model has begun to speak by itself."""
    talk.hear(QUIET, 1.0)
    talk.engine(EngineText("Well, "), SECOND_OF_SOUND)
    assert talk.state() is TurnState.RESPONDING
    return talk


# --- simplex


def test_a_simplex_turn_from_speech_to_silence() -> None:
    talk = Talk(simplex())
    talk.hear(QUIET, 1.0)
    talk.hear(LOUD, 2.5)
    talk.hear(QUIET, 0.7)
    assert kinds(talk.effects) == [
        SpeechStarted, Prefill, SpeechStopped, Committed, ResponseStarted, Decode,
    ]  # fmt: skip
    started, stopped = (m for m in messages(talk.effects) if isinstance(m, SpeechStarted | SpeechStopped))
    assert (started, stopped) == (SpeechStarted(700), SpeechStopped(3500))
    assert loud_s(heard(talk.effects)) == pytest.approx(2.5)
    assert seconds(heard(talk.effects)) == pytest.approx(0.3 + 2.5 + 0.2), "prefix padding, words, a pause"
    new = talk.engine(EngineText("Yes."), SECOND_OF_SOUND, EngineIdle())
    assert kinds(new) == [ResponseText, *[ResponseAudio] * 10, ResponseEnded]
    talk.play()
    assert talk.state() is TurnState.DRAINING
    talk.wait(0.9)
    assert talk.state() is TurnState.DRAINING, "the client is still playing"
    talk.wait(0.2)
    assert talk.state() is TurnState.LISTENING


def test_latency_is_told_with_the_end() -> None:
    talk = answered(Talk(simplex()))
    talk.now += 1.0
    ended = messages(talk.engine(EngineIdle()))[-1]
    assert isinstance(ended, ResponseEnded)
    # 100 ms of silence beyond the hangover had passed when the engine's first output came.
    assert ended.latency_ms == {
        "speech_end_to_first_text_ms": 700,
        "request_to_first_text_ms": 100,
        "speech_end_to_first_audio_ms": 700,
        "request_to_first_audio_ms": 100,
        "speech_end_to_detected_ms": 600,
        "speech_end_to_request_ms": 600,
    }


def test_a_break_tells_how_long_it_took_from_the_first_word() -> None:
    talk = answered(Talk(simplex()))
    talk.play()
    talk.hear(LOUD, 1.0)
    cut = next(message for message in messages(talk.effects) if isinstance(message, ResponseCut))
    assert cut.reason is BreakReason.TURN_DETECTED
    assert 0 < cut.latency_ms["onset_to_hold_ms"] < cut.latency_ms["onset_to_break_ms"] < 1000
    talk = answered(Talk(simplex()))
    talk.play()
    asked = messages(talk.ask(CancelResponse()))
    assert not any(
        "onset" in name for message in asked if isinstance(message, ResponseCut) for name in message.latency_ms
    )


def test_a_click_makes_no_turn() -> None:
    talk = Talk(simplex())
    talk.hear(QUIET, 0.5)
    talk.hear(LOUD, 0.04)
    assert talk.hear(QUIET, 1.0) == []


def test_two_utterances_share_no_sample() -> None:
    talk = Talk(simplex(prefix_padding_ms=3000))
    talk.hear(LOUD, 1.0)
    talk.hear(QUIET, 0.62)
    talk.engine(EngineText("a"), EngineIdle())
    talk.play()
    talk.wait(0.0)
    first = seconds(heard(talk.effects))
    talk.hear(LOUD, 1.0)
    talk.hear(QUIET, 0.62)
    assert seconds(heard(talk.effects)) <= 2 * 1.62 + 0.001
    assert loud_s(heard(talk.effects)) == pytest.approx(2.0)
    assert first == pytest.approx(1.2, abs=0.03)


def test_create_response_false_commits_and_waits_to_be_asked() -> None:
    talk = Talk(simplex(create_response=False))
    talk.hear(LOUD, 1.0)
    assert kinds(talk.hear(QUIET, 0.7)) == [Prefill, SpeechStopped, Committed]
    asked = talk.ask(CreateResponse({"a": "b"}))
    assert list(messages(asked)) == [ResponseStarted(1, {"a": "b"})]
    assert Decode() in asked


def test_push_to_talk_hears_only_what_is_committed() -> None:
    talk = Talk(simplex(detect_turns=False))
    assert talk.hear(LOUD, 1.0) == []
    assert talk.ask(ClearInput()) == [Say(InputCleared())]
    talk.hear(LOUD, 0.5)
    assert kinds(talk.ask(CommitInput())) == [Prefill, Committed]
    assert loud_s(heard(talk.effects)) == pytest.approx(0.5)
    assert kinds(talk.ask(CreateResponse())) == [ResponseStarted, Decode]


def test_push_to_talk_loses_the_oldest_beyond_its_bound_and_says_so() -> None:
    talk = Talk(simplex(detect_turns=False, push_to_talk_s=1))
    talk.hear(QUIET, 1.0)
    talk.hear(LOUD, 1.0)
    effects = talk.ask(CommitInput())
    assert kinds(effects) == [Warned, Prefill, Committed]
    assert loud_s(heard(effects)) == pytest.approx(1.0)


@pytest.mark.parametrize("settings", [simplex(), simplex(detect_turns=False)])
def test_an_empty_commit_is_refused(settings: object) -> None:
    talk = Talk(settings)  # type: ignore[arg-type]
    talk.hear(QUIET, 0.05)
    with pytest.raises(InvalidEvent) as refused:
        talk.ask(CommitInput())
    assert refused.value.code == "input_audio_buffer_commit_empty"


def test_a_commit_ends_the_speech_at_once() -> None:
    talk = Talk(simplex())
    talk.hear(LOUD, 1.2)
    assert kinds(talk.ask(CommitInput())) == [SpeechStopped, Prefill, Committed, ResponseStarted, Decode]
    assert loud_s(heard(talk.effects)) == pytest.approx(1.2)


def test_a_second_response_is_refused_while_one_is_given() -> None:
    talk = answered(Talk(simplex()))
    with pytest.raises(InvalidEvent) as refused:
        talk.ask(CreateResponse())
    assert refused.value.code == "conversation_already_has_active_response"


def test_a_microphone_that_stops_sending_still_ends_the_speech() -> None:
    talk = Talk(simplex())
    talk.hear(LOUD, 1.0)
    effects = talk.wait(1.5)
    assert kinds(effects)[:2] == [Prefill, SpeechStopped]
    assert Decode() in effects


def test_at_a_pause_the_model_hears_all_and_at_the_end_it_answers_at_once() -> None:
    talk = Talk(simplex())
    talk.hear(LOUD, 1.5)
    assert talk.hear(QUIET, 0.24) == []
    assert kinds(talk.hear(QUIET, 0.02)) == [Prefill]
    assert loud_s(heard(talk.effects)) == pytest.approx(1.5)
    assert kinds(talk.hear(QUIET, 0.4)) == [SpeechStopped, Committed, ResponseStarted, Decode]


def test_when_the_speech_goes_on_after_a_pause_no_sample_is_lost_or_heard_twice() -> None:
    talk = Talk(simplex())
    talk.hear(LOUD, 1.5)
    talk.hear(QUIET, 0.4)
    talk.hear(LOUD, 0.7)
    talk.hear(QUIET, 0.7)
    words = heard(talk.effects)
    assert loud_s(words) == pytest.approx(2.2)
    assert seconds(words) == pytest.approx(1.5 + 0.4 + 0.7 + 0.2, abs=0.1)
    assert words.startswith(LOUD * 24_000 + QUIET * 6400 + LOUD * 11_200)


# --- the break


@pytest.mark.parametrize("reason", list(BreakReason))
def test_a_simplex_break_while_the_engine_works(reason: BreakReason) -> None:
    talk = answered(Talk(simplex()))
    by_speech = reason is BreakReason.TURN_DETECTED
    effects = talk.hear(LOUD, 0.3) if by_speech else talk.ask(CancelResponse())
    hold, announcement = ([Hold], [SpeechStarted]) if by_speech else ([], [])
    assert kinds(effects) == [*hold, Flush, *announcement, ResponseCut, Interrupt]
    assert talk.state() is TurnState.BREAKING
    assert not talk.conversation.admits(1)
    assert talk.engine(EngineText("stale"), SECOND_OF_SOUND, EngineIdle()) == [], "everything old is dropped"
    if by_speech:
        talk.hear(LOUD, 0.7)
        effects = talk.hear(QUIET, 0.7)
        assert kinds(effects) == [Prefill, SpeechStopped, Committed], "the answer waits for the engine"
        assert loud_s(heard(talk.effects)) == pytest.approx(2.0), "every word reaches the model"
    effects = talk.engine(EngineIdle(interrupted=True))
    assert kinds(effects) == ([ResponseStarted, Decode] if by_speech else [])


def test_the_interrupting_words_come_with_their_prefix() -> None:
    talk = answered(Talk(simplex()))
    talk.hear(QUIET, 1.0)
    before = len(heard(talk.effects))
    talk.hear(LOUD, 1.0)
    talk.hear(QUIET, 0.7)
    words = heard(talk.effects)[before:]
    assert words.startswith(QUIET * int(0.3 * 16_000) + LOUD)
    assert loud_s(words) == pytest.approx(1.0)


def test_a_noise_holds_the_answer_and_lets_it_go_on() -> None:
    talk = answered(Talk(simplex(client_holds=True)))
    talk.play()
    assert kinds(talk.hear(LOUD, 0.1)) == [Hold, ResponseHeld]
    assert talk.state() is TurnState.RESPONDING_HELD
    assert talk.hear(QUIET, 0.18) == []
    assert talk.hear(QUIET, 1.0) == [Release(client_waited=True), Say(ResponseReleased())], (
        "and nothing else comes of it"
    )
    assert talk.state() is TurnState.RESPONDING
    assert kinds(talk.hear(LOUD, 0.3))[-3:] == [SpeechStarted, ResponseCut, Interrupt], "it can still be interrupted"


def balanced(talk: Talk) -> Talk:
    """An answer whose sound began more than two seconds ago, with the default amount of evidence."""
    answered(talk)
    talk.engine(SECOND_OF_SOUND, SECOND_OF_SOUND, SECOND_OF_SOUND)
    talk.play()
    talk.hear(QUIET, 2.1)
    return talk


@pytest.mark.parametrize("barge_in", list(BargeIn))
def test_each_preset_holds_at_once_and_cuts_in_its_own_time(barge_in: BargeIn) -> None:
    talk = balanced(Talk(simplex().weighing(BargeIn.CALM).weighing(barge_in)))
    assert kinds(talk.hear(LOUD, 0.06)) == [Hold, ResponseHeld]
    ms = {BargeIn.EAGER: 120, BargeIn.BALANCED: 360, BargeIn.CALM: 720}[barge_in]
    assert talk.hear(LOUD, (ms - 80) / 1000) == []
    assert kinds(talk.hear(LOUD, 0.02))[:4] == [Flush, SpeechStarted, ResponseCut, Interrupt]


def test_a_word_of_agreement_holds_and_releases_and_two_in_a_row_cut() -> None:
    talk = balanced(Talk(simplex(vad=VadSettings())))
    assert kinds(talk.hear(LOUD, 0.3) + talk.hear(QUIET, 0.3)) == [Hold, ResponseHeld, Release, ResponseReleased]
    talk.hear(QUIET, 1.0)
    assert kinds(talk.hear(LOUD, 0.26) + talk.hear(QUIET, 0.2)) == [Hold, ResponseHeld, Release, ResponseReleased]
    assert ResponseCut in kinds(talk.hear(LOUD, 0.2)), "the first is not forgotten yet"


def test_when_the_sound_begins_or_begins_again_more_evidence_is_asked_for() -> None:
    talk = answered(Talk(simplex()))
    talk.play()
    assert talk.hear(LOUD, 0.04) == [], "the answer's own echo may be new to an echo canceller"
    assert kinds(talk.hear(LOUD, 0.02)) == [Hold, ResponseHeld]
    assert kinds(talk.hear(QUIET, 0.2)) == [Release, ResponseReleased]
    talk.hear(QUIET, 1.9)
    talk.engine(SECOND_OF_SOUND)
    for effect in talk.engine(SECOND_OF_SOUND):
        assert isinstance(effect, Speak)
        talk.conversation.receive_sent(effect.generation, effect.message, talk.now)
    assert talk.hear(LOUD, 0.04) == [], "it had run dry"
    assert kinds(talk.hear(LOUD, 0.02)) == [Hold, ResponseHeld]


def test_a_client_that_cancels_echo_is_held_at_once_from_the_beginning() -> None:
    talk = answered(Talk(simplex(client_cancels_echo=True)))
    talk.play()
    assert kinds(talk.hear(LOUD, 0.04)) == [Hold, ResponseHeld]


def test_before_anything_is_heard_the_client_is_not_told_of_a_hold() -> None:
    talk = answered(Talk(simplex()))
    assert kinds(talk.hear(LOUD, 0.1) + talk.hear(QUIET, 0.3)) == [Hold, Release]


@pytest.mark.parametrize("client_holds", [True, False])
def test_while_it_is_held_a_client_that_stops_has_heard_no_more(client_holds: bool) -> None:
    talk = answered(Talk(simplex(client_holds=client_holds)))
    talk.engine(EngineIdle())
    talk.play()
    talk.hear(QUIET, 0.44)
    talk.hear(LOUD, 0.06)
    assert talk.state() is TurnState.DRAINING_HELD
    talk.hear(LOUD, 0.02)
    talk.hear(QUIET, 0.18)
    (cut,) = (m for m in messages(talk.ask(CancelResponse())) if isinstance(m, ResponseCut))
    assert cut.heard_ms == pytest.approx(500 if client_holds else 700, abs=1)


def test_a_client_that_stops_plays_the_rest_later() -> None:
    talk = answered(Talk(simplex(client_holds=True)))
    talk.engine(EngineIdle())
    talk.play()
    talk.hear(QUIET, 0.8)
    talk.hear(LOUD, 0.06)
    talk.hear(QUIET, 0.2)
    assert talk.state() is TurnState.DRAINING
    talk.wait(0.13)
    assert talk.state() is TurnState.DRAINING, "140 ms were left when it was held"
    talk.wait(0.02)
    assert talk.state() is TurnState.LISTENING


def test_a_client_that_plays_on_ends_the_hold_when_it_has_played_all() -> None:
    talk = answered(Talk(simplex()))
    talk.engine(EngineIdle())
    talk.play()
    talk.hear(QUIET, 0.9)
    talk.hear(LOUD, 0.08)
    assert kinds(talk.wait(0.1)) == [Release, ResponseReleased, SpeechStarted]
    assert talk.state() is TurnState.LISTENING


def test_a_held_answer_may_end_and_the_next_one_begin() -> None:
    talk = speaking_model(Talk(duplex(client_holds=True)))
    talk.play()
    talk.hear(LOUD, 0.08)
    assert kinds(talk.engine(EngineIdle())) == [ResponseEnded]
    assert talk.state() is TurnState.DRAINING_HELD
    assert kinds(talk.engine(EngineText("And"))) == [ResponseStarted, ResponseText]
    assert talk.state() is TurnState.RESPONDING_HELD
    assert kinds(talk.hear(QUIET, 0.3)) == [Release, ResponseReleased]


def test_evidence_over_a_held_answer_counts_although_the_next_one_began() -> None:
    talk = speaking_model(Talk(duplex()))
    talk.hear(LOUD, 0.1)
    talk.engine(EngineIdle(), EngineText("And"))
    assert Interrupt(forget=False) in talk.hear(LOUD, 0.02)


def test_a_microphone_that_stops_sending_does_not_hold_an_answer_for_ever() -> None:
    talk = answered(Talk(simplex()))
    talk.hear(LOUD, 0.1)
    assert kinds(talk.wait(1.1)) == [Release]


def test_a_client_that_forbids_interruption_frees_what_is_held() -> None:
    talk = answered(Talk(simplex()))
    talk.hear(LOUD, 0.1)
    assert kinds(talk.ask(Configure(simplex(interrupt_response=False)))) == [Configured, Release]
    assert talk.state() is TurnState.RESPONDING


def test_speech_that_outlives_the_answer_is_announced_then() -> None:
    talk = answered(Talk(simplex()))
    talk.engine(EngineIdle())
    talk.play()
    talk.hear(QUIET, 0.9)
    assert kinds(talk.hear(LOUD, 0.1)) == [Hold, ResponseHeld]
    effects = talk.wait(0.1)
    assert kinds(effects) == [Release, ResponseReleased, SpeechStarted]


def test_a_break_while_only_the_client_plays_does_not_touch_the_engine() -> None:
    talk = answered(Talk(simplex()))
    talk.engine(EngineIdle())
    talk.play()
    talk.now += 0.5
    effects = talk.ask(CancelResponse())
    assert kinds(effects) == [Flush, ResponseCut]
    cut = messages(effects)[0]
    assert isinstance(cut, ResponseCut)
    assert cut.heard_ms == 500
    assert talk.state() is TurnState.LISTENING


def test_a_playback_report_corrects_what_was_heard() -> None:
    talk = answered(Talk(simplex()))
    talk.play()
    talk.now += 0.5
    talk.ask(AcknowledgePlayback(generation=1, played_ms=200))
    talk.ask(AcknowledgePlayback(generation=7, played_ms=999))
    cut = messages(talk.ask(CancelResponse()))[0]
    assert isinstance(cut, ResponseCut)
    assert cut.heard_ms == 200


def cut_of(talk: Talk) -> ResponseCut:
    (cut,) = (m for m in messages(talk.ask(CancelResponse())) if isinstance(m, ResponseCut))
    return cut


def test_a_cut_tells_the_words_that_were_heard() -> None:
    talk = Talk(simplex())
    talk.hear(LOUD, 1.0)
    talk.hear(QUIET, 0.7)
    talk.engine(EngineText("one two three "), EngineText("four five six"), *[SECOND_OF_SOUND] * 4, EngineIdle())
    talk.play()
    talk.now += 1.9
    assert cut_of(talk).heard_text == "one two three"


def test_a_report_corrects_the_words_too() -> None:
    talk = Talk(simplex())
    talk.hear(LOUD, 1.0)
    talk.hear(QUIET, 0.7)
    talk.engine(EngineText("one two three four five six"), *[SECOND_OF_SOUND] * 4, EngineIdle())
    talk.play()
    talk.now += 2.0
    talk.ask(AcknowledgePlayback(generation=1, played_ms=300))
    assert cut_of(talk).heard_text == "one"


def test_of_an_answer_that_was_not_heard_no_word_was() -> None:
    assert cut_of(answered(Talk(simplex()))).heard_text == ""


def test_a_cancel_with_nothing_to_cancel() -> None:
    talk = Talk(simplex())
    with pytest.raises(InvalidEvent) as refused:
        talk.ask(CancelResponse())
    assert refused.value.code == "response_cancel_not_active"
    assert talk.ask(ClearOutput()) == []


def test_interrupt_response_false_lets_the_answer_go_on_and_queues_the_next() -> None:
    talk = answered(Talk(simplex(interrupt_response=False)))
    effects = talk.hear(LOUD, 1.0) + talk.hear(QUIET, 0.7)
    assert Flush not in kinds(effects)
    assert Decode() not in effects
    effects = talk.engine(EngineIdle())
    assert kinds(effects) == [ResponseEnded, ResponseStarted, Decode]
    assert talk.conversation.admits(1), "the first answer is still being played"


def test_a_break_forgets_an_answer_that_was_still_to_come() -> None:
    talk = answered(Talk(simplex(interrupt_response=False)))
    talk.hear(LOUD, 1.0)
    talk.hear(QUIET, 0.7)
    talk.ask(CancelResponse())
    assert talk.engine(EngineIdle(interrupted=True)) == []


def test_a_break_that_is_never_answered_gives_the_engine_up() -> None:
    talk = answered(Talk(simplex(break_deadline_s=5.0)))
    talk.ask(CancelResponse())
    talk.wait(4.9)
    with pytest.raises(EngineStalled):
        talk.wait(0.2)


# --- duplex


def test_duplex_hears_every_second_and_thinks_after_each() -> None:
    talk = Talk(duplex())
    effects = talk.hear(QUIET, 3.0)
    assert kinds(effects) == [Prefill, Decode] * 3
    assert {len(e.pcm) for e in effects if isinstance(e, Prefill)} == {32_000}
    assert talk.engine(EngineListen()) == [Say(ModelListens())]


def test_a_duplex_model_opens_its_turn_with_its_first_output() -> None:
    talk = Talk(duplex())
    talk.hear(QUIET, 1.0)
    assert kinds(talk.engine(EngineText("Oh"))) == [ResponseStarted, ResponseText]
    assert kinds(talk.engine(SECOND_OF_SOUND, EngineIdle())) == [*[ResponseAudio] * 10, ResponseEnded]
    assert kinds(talk.engine(EngineText("And"))) == [ResponseStarted, ResponseText], "queues behind what still plays"


def test_a_broken_duplex_model_listens_until_the_user_has_finished() -> None:
    talk = speaking_model(Talk(duplex()))
    effects = talk.hear(LOUD, 2.5)
    assert [kind for kind in kinds(effects) if kind is not Prefill] == [
        Hold, Flush, SpeechStarted, ResponseCut, Interrupt,
    ]  # fmt: skip
    assert Interrupt(forget=False) in effects
    talk.engine(EngineIdle(interrupted=True))
    effects = talk.hear(QUIET, 0.58)
    assert Decode() not in effects
    effects = talk.hear(QUIET, 1.0)
    assert Decode() in effects, "it may think again when the user has finished"
    assert loud_s(heard(talk.effects)) == pytest.approx(2.5)
    assert seconds(heard(talk.effects)) == pytest.approx(5.0), "whole seconds, none left out"


def test_noise_does_not_gag_the_model_for_ever() -> None:
    talk = speaking_model(Talk(duplex(listen_limit_s=3.0)))
    talk.hear(LOUD, 0.3)
    effects = talk.hear(LOUD, 5.0)
    assert Decode() in effects


def test_told_to_be_silent_it_stays_so_until_it_is_spoken_to() -> None:
    talk = speaking_model(Talk(duplex(listen_limit_s=3.0)))
    assert kinds(talk.ask(CancelResponse())) == [Flush, ResponseCut, Interrupt]
    talk.engine(EngineIdle(interrupted=True))
    assert Decode() not in talk.hear(QUIET, 10.0)
    talk.hear(LOUD, 1.0)
    assert Decode() in talk.hear(QUIET, 2.0)


def test_after_break_reset_forgets_and_hears_the_interruption_anew() -> None:
    talk = speaking_model(Talk(duplex(after_break=AfterBreak.RESET)))
    talk.hear(QUIET, 0.8)
    effects = talk.hear(LOUD, 0.3)
    at = effects.index(Interrupt(forget=True))
    again = talk.hear(LOUD, 0.7) + talk.hear(QUIET, 1.0)
    words = heard(effects[at:] + again)
    assert words.startswith(QUIET * int(0.3 * 16_000) + LOUD), "from the prefix padding on"
    assert loud_s(words) == pytest.approx(1.0)
    assert Decode() in effects[at:] + again


def test_a_model_that_answers_into_speech_is_broken_only_by_more_of_it() -> None:
    talk = Talk(duplex())
    talk.hear(LOUD, 1.0)
    talk.engine(EngineText("Yes"), SECOND_OF_SOUND)
    assert talk.state() is TurnState.RESPONDING
    assert Flush not in kinds(talk.hear(QUIET, 0.5))
    assert talk.state() is TurnState.RESPONDING
    effects = talk.hear(LOUD, 0.2)
    assert kinds(effects)[:4] == [Hold, Flush, SpeechStarted, ResponseCut], "announced again: stock clients flush on it"


def test_a_silent_microphone_does_not_stop_the_beat_of_a_speaking_model() -> None:
    talk = speaking_model(Talk(duplex()))
    effects = talk.wait(3.5)
    assert kinds(effects) == [Prefill, Decode] * 3
    talk.engine(EngineIdle())
    talk.play()
    talk.wait(5.0)
    assert talk.wait(60.0) == [], "an idle conversation costs nothing"


def test_after_speech_a_duplex_model_gets_time_to_answer_without_a_microphone() -> None:
    talk = Talk(duplex(answer_wait_s=4.0))
    talk.hear(LOUD, 1.0)
    effects = talk.wait(3.0)
    assert kinds(effects)[:2] == [SpeechStopped, Committed]
    assert effects.count(Decode()) >= 2
    assert talk.wait(100.0).count(Decode()) <= 4


def test_response_create_in_duplex_gives_the_model_the_chance_to_speak() -> None:
    talk = Talk(duplex())
    assert talk.ask(CreateResponse({"k": "v"})) == []
    assert Decode() in talk.wait(2.0)
    assert talk.engine(EngineText("Hi"))[0] == Speak(1, ResponseStarted(1, {"k": "v"}))


def test_commit_and_clear_in_duplex_are_acknowledged_only() -> None:
    talk = Talk(duplex())
    assert talk.ask(CommitInput()) == [Say(Committed())]
    assert talk.ask(ClearInput()) == [Say(InputCleared())]
    assert seconds(heard(talk.hear(LOUD, 1.0))) == 1.0


def test_without_turn_detection_speech_neither_marks_nor_breaks() -> None:
    talk = speaking_model(Talk(duplex(detect_turns=False)))
    assert set(kinds(talk.hear(LOUD, 2.0) + talk.hear(QUIET, 1.0))) == {Prefill, Decode}


# --- settings and bad input


def test_new_settings_are_used_at_once() -> None:
    talk = Talk(simplex())
    changed = simplex(output_rate_hz=8000, input_rate_hz=8000, detect_turns=False)
    assert talk.ask(Configure(changed)) == [Say(Configured())]
    talk.ask(AppendAudio(LOUD * 8000))
    assert seconds(heard(talk.ask(CommitInput()))) == pytest.approx(1.0, abs=0.12)
    talk.ask(CreateResponse())
    sizes = [len(m.pcm) for m in messages(talk.engine(SECOND_OF_SOUND, EngineIdle())) if isinstance(m, ResponseAudio)]
    assert max(sizes) <= 1600, "100 ms at 8 kHz"
    assert sum(sizes) == 16_000, "one second, complete to the sample"


def test_an_unsupported_rate_changes_nothing() -> None:
    talk = Talk(simplex())
    with pytest.raises(InvalidAudio):
        talk.ask(Configure(simplex(input_rate_hz=1)))
    assert talk.conversation.settings == simplex()


def test_the_mode_cannot_change_in_a_conversation() -> None:
    with pytest.raises(InvalidEvent, match="connects"):
        Talk(simplex()).ask(Configure(duplex()))


def test_a_new_context_waits_for_a_silence_and_a_full_one_for_the_end_of_an_answer() -> None:
    """First what is due at a nearly full context, then at a full one."""
    talk = Talk(duplex())

    def due() -> tuple[bool, bool]:
        wants = talk.conversation.wants_new_context
        return wants(ROOMY, talk.now), wants(FULL, talk.now)

    talk.hear(QUIET, 1.0)
    assert due() == (True, True)
    talk.hear(LOUD, 2.0)
    assert due() == (False, True), "the user speaks: what is heard so far will be heard again"
    talk.hear(QUIET, 2.0)
    assert due() == (False, True), "what was said may still be answered, by a model that remembers"
    talk.engine(EngineText("Well, "), SECOND_OF_SOUND)
    assert due() == (False, False)
    talk.engine(EngineIdle())
    assert due() == (False, True), "the client still plays"
    talk.play()
    talk.wait(2.0)
    assert due() == (True, True)
    talk.engine(EngineText("And "), SECOND_OF_SOUND)
    talk.play()
    talk.hear(LOUD, 1.0)
    assert talk.state() is TurnState.BREAKING
    assert due() == (False, False)
    talk.engine(EngineIdle(interrupted=True))
    assert due() == (False, True)


def test_a_question_that_is_not_answered_keeps_its_context_for_ten_seconds() -> None:
    talk = Talk(duplex())
    talk.hear(LOUD, 1.0)
    talk.hear(QUIET, 9.0)
    assert not talk.conversation.wants_new_context(ROOMY, talk.now)
    talk.hear(QUIET, 2.0)
    assert talk.conversation.wants_new_context(ROOMY, talk.now)


def test_half_a_sample_is_refused_and_nothing_of_it_used() -> None:
    talk = Talk(duplex())
    with pytest.raises(InvalidAudio):
        talk.ask(AppendAudio(b"\0" * 32_001))
    assert talk.hear(QUIET, 0.98) == []
    assert kinds(talk.hear(QUIET, 0.02)) == [Prefill, Decode]


def test_an_empty_append_is_nothing() -> None:
    assert Talk(duplex()).ask(AppendAudio(b"")) == []


def test_close_silences_everything() -> None:
    talk = answered(Talk(simplex()))
    talk.conversation.close()
    assert not talk.conversation.admits(1)
    assert talk.conversation.deadline() is None
