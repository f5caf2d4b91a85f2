"""What the scripts share: which step follows what, and when it is over."""

import json
from pathlib import Path

import pytest

from conformance.callers.talk import Talk

CASES = json.loads(Path(__file__).with_name("steps.json").read_text(encoding="utf-8"))
"""Read by talk.test.mjs too."""
PIECE = 960
LOUD = b"\x00\x40" * 12_000
QUIET = bytes(len(LOUD))
FIRST, SECOND = b"\x01\x10" * PIECE, b"\x02\x10" * PIECE


def talk_after(*steps: str) -> Talk:
    talk = Talk([FIRST, SECOND])
    for step in steps:
        take(talk, step)
    return talk


def take(talk: Talk, step: str) -> None:
    match step.split():
        case ["connected"]:
            talk.connected()
        case ["interrupted"]:
            talk.interrupted()
        case ["heard", answer]:
            talk.heard(LOUD, answer)
        case ["silence", answer]:
            talk.heard(QUIET, answer)
        case _:
            raise AssertionError(step)


@pytest.mark.parametrize("case", CASES, ids=lambda case: ", ".join(case["steps"]))
def test_steps_are_passed_in_order(case: dict[str, list[str]]) -> None:
    talk = talk_after(*case["steps"])
    assert (talk.passed, talk.error) == (case["passed"], None)
    assert talk.over.is_set() == (len(case["passed"]) == 4)


def test_an_answer_is_half_a_second_of_sound_in_any_pieces() -> None:
    talk = talk_after("connected")
    for start in range(0, len(LOUD) - PIECE, PIECE):
        talk.heard(LOUD[start : start + PIECE], "1")
        assert talk.passed == ["connect"]
    talk.heard(LOUD[:PIECE], "1")
    assert talk.passed == ["connect", "answer"]


def test_sound_of_the_interrupted_answer_ends_it() -> None:
    talk = talk_after("connected", "heard 1", "interrupted", "heard 1")
    assert talk.over.is_set()
    assert talk.error is not None
    talk.fail("Something else.")
    assert "interrupted answer" in talk.error


async def test_the_microphone_says_each_sentence_once_and_is_silent_otherwise() -> None:
    talk = talk_after()
    said = b""
    async for piece in talk.microphone():
        said += piece
        match len(said) // PIECE:
            case 2:
                talk.connected()
            case 6:
                talk.heard(LOUD, "1")
            case 10:
                talk.fail("enough")
    assert said == bytes(2 * PIECE) + FIRST + bytes(2 * PIECE) + SECOND + bytes(2 * PIECE)


LOUD_PIECE, ZEROS = LOUD[:PIECE], bytes(PIECE)


async def live_talk(*, spoken_over: bool = True) -> Talk:
    """A stream of which an answer was heard and, if asked for, 100 ms of the second sentence spoken over it."""
    talk = Talk([FIRST, SECOND * 10])
    talk.connected()
    stream(talk, LOUD_PIECE, 25)
    if spoken_over:
        await speak(talk, 5)
    return talk


def stream(talk: Talk, piece: bytes, pieces: int) -> None:
    for _ in range(pieces):
        talk.streamed(piece)


async def speak(talk: Talk, pieces: int) -> None:
    said = 0
    async for _ in talk.microphone():
        said += 1
        if said > pieces:
            break


async def test_a_stream_is_interrupted_by_zeros_and_answers_again() -> None:
    talk = await live_talk()
    stream(talk, ZEROS, 9)
    assert talk.passed == ["connect", "answer"]
    stream(talk, ZEROS, 1)
    assert talk.passed == ["connect", "answer", "interrupt"]
    await speak(talk, 15)
    stream(talk, ZEROS, 100)
    stream(talk, LOUD_PIECE, 24)
    assert not talk.over.is_set()
    stream(talk, LOUD_PIECE, 1)
    assert (talk.passed[-1], talk.error, talk.over.is_set()) == ("second turn", None, True)


async def test_silence_before_an_answer_and_pauses_in_it_are_no_interruption() -> None:
    talk = Talk([FIRST, SECOND])
    talk.connected()
    stream(talk, ZEROS, 100)
    stream(talk, LOUD_PIECE, 25)
    for _ in range(5):
        stream(talk, ZEROS, 9)
        stream(talk, LOUD_PIECE, 9)
    assert (talk.passed, talk.error) == (["connect", "answer"], None)


async def test_a_stream_that_goes_on_under_the_speaker_has_failed() -> None:
    talk = await live_talk(spoken_over=False)
    await speak(talk, 24)
    stream(talk, LOUD_PIECE, 1)
    assert talk.error is None
    await speak(talk, 3)
    stream(talk, LOUD_PIECE, 1)
    assert talk.error is not None
    assert "went on" in talk.error


async def test_sound_before_the_speaker_has_ended_is_the_interrupted_answer() -> None:
    talk = await live_talk()
    stream(talk, ZEROS, 10)
    stream(talk, LOUD_PIECE, 1)
    assert talk.error is not None
    assert "interrupted answer" in talk.error
