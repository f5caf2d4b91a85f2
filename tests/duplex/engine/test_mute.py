"""Which engines are of no use any more, and which only seem so."""

from dataclasses import replace

import pytest

from duplex.engine.mute import AnswerSigns, find_fault

NOTHING = AnswerSigns(
    has_words=False,
    has_tokens=False,
    has_sound=False,
    is_flagged=False,
    is_sound_due=False,
    mute_s=20.0,
    patience_s=15.0,
    asked=1,
)
WORDS = replace(NOTHING, has_words=True, asked=0)
MUTE, SILENT = "no sound of it for 15 s", "says nothing, although it was asked 2 times"


@pytest.mark.parametrize(
    ("signs", "fault"),
    [
        (NOTHING, None),
        (replace(NOTHING, asked=2), SILENT),
        (replace(NOTHING, asked=2, mute_s=0.0), SILENT),
        (replace(NOTHING, asked=2, is_flagged=True), None),
        (replace(NOTHING, asked=2, has_sound=True), None),
        (WORDS, MUTE),
        (replace(WORDS, mute_s=15.0), MUTE),
        (replace(WORDS, mute_s=14.9), None),
        (replace(WORDS, has_sound=True), None),
        (replace(WORDS, is_flagged=True), None),
        (replace(WORDS, has_tokens=True), None),
        (replace(WORDS, has_tokens=True, is_sound_due=True), MUTE),
        (replace(WORDS, is_sound_due=True, mute_s=14.9), None),
    ],
)
def test_find_fault(signs: AnswerSigns, fault: str | None) -> None:
    found = find_fault(signs)
    assert found is None if fault is None else found is not None and fault in found
