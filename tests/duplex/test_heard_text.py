"""Text cut where its sound was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.heard_text import Spoken, heard_part


@pytest.mark.parametrize(
    ("text", "heard_s", "audio_s", "complete", "expected"),
    [
        ("one two three four", 0.0, 2.0, True, ""),
        ("one two three four", 0.1, 2.0, True, "one"),
        ("one two three four", 1.0, 2.0, True, "one two three"),
        ("one two three four", 2.0, 2.0, True, "one two three four"),
        ("one, two.", 0.1, 1.0, True, "one,"),
        ("你好，世界。", 0.3, 1.0, True, "你好，"),
        ("你好 world", 0.9, 1.0, True, "你好 world"),
        # Text that is ahead of its sound is not taken for said.
        ("one two three four five six seven eight", 0.5, 0.6, False, "one two three"),
        # And sound that is longer than usual shows a slow voice.
        ("one two three", 1.0, 4.0, False, "one"),
        ("", 5.0, 5.0, True, ""),
        ("   ", 5.0, 5.0, True, ""),
        ("one", 1.0, 0.0, True, "one"),
    ],
)
def test_the_text_ends_at_the_word_that_was_said(
    text: str, heard_s: float, audio_s: float, complete: bool, expected: str
) -> None:
    assert heard_part(text, heard_s, audio_s, complete=complete) == expected


@given(st.text(max_size=60), st.floats(0, 30), st.floats(0, 30), st.booleans())
def test_it_is_a_beginning_and_grows_with_what_was_heard(
    text: str, heard_s: float, audio_s: float, complete: bool
) -> None:
    part = heard_part(text, heard_s, audio_s, complete=complete)
    assert text.startswith(part)
    assert heard_part(text, heard_s + 1.0, audio_s, complete=complete).startswith(part)


@given(st.lists(st.sampled_from(["one", "two", "你", "好，", "naïve"]), min_size=1, max_size=20), st.floats(0.1, 30))
def test_who_heard_all_of_the_sound_heard_all_of_the_words(words: list[str], audio_s: float) -> None:
    text = " ".join(words)
    assert heard_part(text, audio_s, audio_s, complete=True) == text


def test_what_has_not_left_was_not_heard() -> None:
    assert Spoken("one two three", 1.0, complete=True, sent=4).heard(1.0) == "one "
