"""What the scripts share: which step follows what, and when it is over."""

import pytest

from conformance.callers.talk import Talk

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


@pytest.mark.parametrize(
    ("steps", "passed"),
    [
        (["connected"], ["connect"]),
        (["connected", "connected"], ["connect"]),
        (["heard 1"], []),
        (["connected", "silence 1"], ["connect"]),
        (["connected", "heard 1"], ["connect", "answer"]),
        (["connected", "heard 1", "heard 2", "connected"], ["connect", "answer"]),
        (["connected", "interrupted", "heard 1"], ["connect", "answer"]),
        (["connected", "heard 1", "interrupted"], ["connect", "answer", "interrupt"]),
        (["connected", "heard 1", "interrupted", "silence 2"], ["connect", "answer", "interrupt"]),
        (["connected", "heard 1", "interrupted", "heard 2"], ["connect", "answer", "interrupt", "second turn"]),
    ],
)
def test_steps_are_passed_in_order(steps: list[str], passed: list[str]) -> None:
    talk = talk_after(*steps)
    assert (talk.passed, talk.error) == (passed, None)
    assert talk.over.is_set() == (len(passed) == 4)


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
