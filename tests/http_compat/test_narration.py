"""Numbers and words."""

from hypothesis import given
from hypothesis import strategies as st

from http_compat.narration import Narration


def test_chunks_are_numbered_from_nought() -> None:
    narration = Narration()
    assert narration.chunks == 0
    assert [narration.number() for _ in range(3)] == [0, 1, 2]
    assert narration.chunks == 3


def test_each_piece_of_sound_takes_the_next_words() -> None:
    narration = Narration()
    assert narration.words() == ""
    narration.say("one ")
    narration.say("two")
    assert [narration.words() for _ in range(3)] == ["one ", "two", ""]


def test_the_rest_is_given_once() -> None:
    narration = Narration()
    for word in ("one ", "two ", "three"):
        narration.say(word)
    assert narration.words() == "one "
    assert narration.rest() == "two three"
    assert (narration.rest(), narration.words()) == ("", "")


@given(st.lists(st.text(min_size=1) | st.none()))
def test_every_word_is_given_once_and_in_order(said: list[str | None]) -> None:
    """None stands for a piece of sound."""
    narration = Narration()
    given_out = ""
    for text in said:
        if text is None:
            given_out += narration.words()
        else:
            narration.say(text)
    assert given_out + narration.rest() == "".join(filter(None, said))
