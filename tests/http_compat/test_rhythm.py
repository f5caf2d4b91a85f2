"""What a caller's requests say about its habits: `f` comes when nothing is under way, `b` while something is, and
`.` is patience that ran out."""

import itertools

import pytest

from http_compat.rhythm import CallerRhythm


def after(story: str) -> CallerRhythm:
    rhythm = CallerRhythm()
    for happening in story:
        if happening == ".":
            rhythm.receive_nothing()
        else:
            rhythm.receive(is_busy=happening == "b")
    return rhythm


@pytest.mark.parametrize(
    ("story", "waits", "patience_s"),
    [
        ("", False, 1.2),
        ("f", False, 1.2),
        ("fff", False, 1.2),
        ("f.", True, 0.0),
        ("f.f", True, 0.0),
        ("b", False, 10.0),
        ("bf", False, 10.0),
        ("fb.", False, 10.0),
        ("f.b", False, 10.0),
        ("f.b.", False, 10.0),
    ],
)
def test_what_is_known_of_a_caller(story: str, waits: bool, patience_s: float) -> None:
    rhythm = after(story)
    assert (rhythm.waits, rhythm.patience_s) == (waits, patience_s)


def test_an_overlap_shows_a_caller_that_sends_on_and_silence_without_one_a_caller_that_waits() -> None:
    for story in map("".join, itertools.product("fb.", repeat=6)):
        rhythm = after(story)
        if "b" in story:
            expected = (False, 10.0)
        elif "." in story:
            expected = (True, 0.0)
        else:
            expected = (False, 1.2)
        assert (rhythm.waits, rhythm.patience_s) == expected, story
