"""After a break the model listens until somebody has spoken and finished."""

from collections.abc import Iterator

import pytest

from http_compat.forced_listening import ForcedListening
from tests.speech import noise, silence, speech

CHUNK_BYTES = pytest.mark.parametrize("chunk_bytes", [638, 640, 3200, 32_000, 64_000])


def pieces(sound: bytes, length: int) -> Iterator[bytes]:
    return (sound[at : at + length] for at in range(0, len(sound), length))


def listening(*, room: bytes = silence(1.0)) -> ForcedListening:
    """In a room, right after a break."""
    forced = ForcedListening()
    forced.hear(room)
    assert not forced.is_on
    forced.start()
    assert forced.is_on
    return forced


@CHUNK_BYTES
def test_it_ends_when_somebody_has_spoken_and_finished(chunk_bytes: int) -> None:
    forced = listening()
    for piece in pieces(speech(2.0), chunk_bytes):
        forced.hear(piece)
        assert forced.is_on
    forced.hear(silence(0.5))
    assert forced.is_on
    forced.hear(silence(0.5))
    assert not forced.is_on


def test_a_word_within_one_second_is_enough() -> None:
    forced = listening()
    forced.hear(silence(0.1) + speech(0.2) + silence(0.7))
    assert not forced.is_on


def test_who_begins_again_within_one_second_has_not_finished() -> None:
    forced = listening()
    forced.hear(speech(0.2) + silence(0.7) + speech(0.2))
    assert forced.is_on
    forced.hear(silence(0.7))
    assert not forced.is_on


@CHUNK_BYTES
@pytest.mark.parametrize("room", [silence(20.0), noise(20.0)], ids=["silence", "noise"])
def test_while_nobody_speaks_it_goes_on(room: bytes, chunk_bytes: int) -> None:
    forced = listening(room=room)
    for piece in pieces(room, chunk_bytes):
        forced.hear(piece)
    assert forced.is_on


def test_who_speaks_already_goes_on_speaking() -> None:
    forced = ForcedListening()
    forced.hear(silence(1.0) + speech(1.0))
    forced.start()
    forced.hear(speech(1.0))
    assert forced.is_on
    forced.hear(silence(1.0))
    assert not forced.is_on


def test_who_has_finished_before_the_break_is_not_waited_for() -> None:
    forced = ForcedListening()
    forced.hear(silence(1.0) + speech(1.0) + silence(1.0))
    forced.start()
    forced.hear(silence(1.0))
    assert forced.is_on


def test_a_caller_that_sends_no_more_has_finished_only_when_somebody_spoke() -> None:
    forced = listening()
    forced.hear(silence(1.0))
    forced.hear_nothing_more()
    assert forced.is_on
    forced.hear(speech(1.0))
    assert forced.is_on
    forced.hear_nothing_more()
    assert not forced.is_on


def test_what_was_said_before_the_break_says_nothing_about_its_end() -> None:
    forced = ForcedListening()
    forced.hear(silence(1.0) + speech(1.0))
    forced.start()
    forced.hear_nothing_more()
    assert forced.is_on


def test_a_sound_that_does_not_end_is_given_up_after_fifteen_seconds() -> None:
    forced = listening()
    seconds = list(pieces(speech(15.0), 32_000))
    for second in seconds[:-1]:
        forced.hear(second)
        assert forced.is_on
    forced.hear(seconds[-1])
    assert not forced.is_on


def test_another_break_begins_anew() -> None:
    forced = listening()
    for second in pieces(speech(10.0), 32_000):
        forced.hear(second)
    forced.start()
    for second in pieces(speech(6.0), 32_000):
        forced.hear(second)
    assert forced.is_on


def test_nothing_to_hear_changes_nothing() -> None:
    forced = listening()
    forced.hear(b"")
    assert forced.is_on
    off = ForcedListening()
    off.hear(speech(1.0) + silence(1.0))
    off.hear_nothing_more()
    assert not off.is_on
