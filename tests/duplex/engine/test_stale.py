from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.engine.stale import HELD_SAMPLES, TOKEN_SAMPLES, HeadTrim, VocoderLedger

Step = Callable[[VocoderLedger], None]


def group(tokens: int = 26) -> Step:
    return lambda ledger: ledger.receive_tokens(tokens)


def wav(number: int) -> Step:
    return lambda ledger: ledger.receive_wav(number)


def flag(ledger: VocoderLedger) -> None:
    ledger.end_turn()


def broken(ledger: VocoderLedger) -> None:
    ledger.begin_break()


def quiet(ledger: VocoderLedger) -> None:
    ledger.settle()


def lowered(ledger: VocoderLedger) -> None:
    ledger.end_break()


def cut(ledger: VocoderLedger) -> None:
    ledger.cut_here()


_FIVE = HELD_SAMPLES + 5 * TOKEN_SAMPLES
_FOUR = HELD_SAMPLES + 4 * TOKEN_SAMPLES


@pytest.mark.parametrize(
    ("steps", "stale"),
    [
        ([cut], 0),
        ([group(10), cut], (3 + 10) * TOKEN_SAMPLES),
        ([group(), wav(0), cut], _FOUR),
        ([group(), wav(0), group(), wav(1), cut], _FIVE),
        ([step for number in range(24) for step in (group(), wav(number))] + [cut], HELD_SAMPLES + 27 * TOKEN_SAMPLES),
        (
            [step for number in range(24) for step in (group(), wav(number))] + [group(), wav(24), wav(25), cut],
            HELD_SAMPLES + 3 * TOKEN_SAMPLES,
        ),
        ([group(), wav(0), flag, cut], HELD_SAMPLES),
        ([group(), wav(0), flag, group(), wav(1), cut], _FOUR),
        ([group(), wav(0), cut, group(), wav(1)], _FOUR),
        ([group(), wav(0), broken, quiet, cut], _FOUR),
        ([group(), wav(0), broken, quiet, cut, lowered, group(), wav(0)], HELD_SAMPLES),
        ([group(), wav(0), broken, quiet, cut, lowered, group(), wav(1)], _FOUR),
        ([group(), broken, quiet, cut], 0),
        ([broken, group(), quiet, cut], 0),
        ([broken, group(), group(10), quiet, cut], 13 * TOKEN_SAMPLES),
        ([group(), wav(0), broken, group(), wav(0), quiet, cut], _FOUR),
        ([group(), wav(0), broken, group(), group(), wav(0), quiet, cut], _FOUR),
        ([group(), wav(0), broken, group(), group(), wav(0), wav(1), quiet, cut], _FIVE),
        ([group(), wav(0), broken, group(), group(), quiet, cut], HELD_SAMPLES),
        ([broken, group(), group(), wav(0), quiet, cut], _FOUR),
        ([broken, group(), group(), wav(0), quiet, cut, lowered, group(), wav(0)], HELD_SAMPLES),
        ([group(), broken, wav(0), group(), group(10), quiet, cut], HELD_SAMPLES + 13 * TOKEN_SAMPLES),
        ([group(), broken, wav(0), wav(1), group(), quiet, cut], HELD_SAMPLES),
        ([broken, group(), wav(0), flag, group(), quiet, cut], HELD_SAMPLES),
        ([group(), wav(0), broken, quiet, quiet, cut], _FOUR),
        ([group(), wav(0), broken, flag, quiet, cut, lowered, group(), broken, wav(0), quiet, cut], _FOUR),
        (
            [group(), wav(0), broken, flag, quiet, cut, lowered, group(), broken, quiet, cut, lowered, group(), wav(0)],
            HELD_SAMPLES,
        ),
        ([broken, broken, group(), group(), wav(0), wav(0), quiet, cut, lowered, group(), wav(0)], HELD_SAMPLES),
        ([group(), wav(0), broken, quiet, cut, lowered, group(), wav(7), cut], _FIVE),
        ([group(), wav(0), broken, quiet, group(), lowered, cut], HELD_SAMPLES + 30 * TOKEN_SAMPLES),
        ([group(), wav(0), broken, quiet, group(), lowered, cut, group(), wav(1)], HELD_SAMPLES + 30 * TOKEN_SAMPLES),
        ([group(), quiet, cut], 0),
    ],
    ids=[
        "fresh",
        "nothing rendered: the prefix lies before the words",
        "one group",
        "two groups",
        "the most",
        "a second window out of one group",
        "only what is held back after a flag",
        "the turn after a flag",
        "what is given after it is not cut",
        "a break: emptied or not",
        "emptied, as the next number shows",
        "not emptied, as the next number shows",
        "emptied unseen",
        "the break met the group that woke it",
        "the break met the group that woke it, and a rest came after",
        "emptied before the group that came after it",
        "the break met the group that woke it, and the next was rendered",
        "emptied at once, and both groups were rendered",
        "emptied unseen with both groups",
        "the first window of all may be older than the drop or newer",
        "it was older, as the next number shows",
        "the break met a window, and the group after it was dropped",
        "more was rendered than can have come after the drop",
        "what was rendered before a flag says nothing of what came after it",
        "quiet twice",
        "emptied by the break before the last, as a number shows that comes after the last",
        "emptied by one break and then by another",
        "emptied by each of two breaks, before anything was read",
        "a number that nobody can explain",
        "a group that came late",
        "a group that came late, and was rendered",
        "what is due without a break and does not come",
    ],
)
def test_stale_head(steps: list[Step], stale: int) -> None:
    ledger = VocoderLedger()
    for step in steps:
        step(ledger)
    assert ledger.stale_samples == stale


@pytest.mark.parametrize(
    ("steps", "is_certain"),
    [
        ([group(), broken, quiet], True),
        ([group(), wav(0), broken, quiet], False),
        ([group(), wav(0), broken, group(), quiet], True),
        ([group(), wav(0), broken, group(), wav(0), group(), quiet], False),
        ([group(), wav(0)], False),
    ],
    ids=["before any file", "nothing was due", "what was due was dropped", "rendered since", "no break"],
)
def test_a_count_that_begins_anew_for_certain(steps: list[Step], *, is_certain: bool) -> None:
    ledger = VocoderLedger()
    for step in steps:
        step(ledger)
    assert ledger.counts_anew is is_certain


def test_every_sample_stands_for_a_token() -> None:
    # The sizes the real vocoder gave for a prefix of 3, a group of 26, a break, a group of 26 and its final window.
    delivered = [20160, 24000, 8640]
    assert sum(delivered) == (3 + 26 + 26) * TOKEN_SAMPLES
    ledger = VocoderLedger()
    ledger.receive_tokens(26)
    ledger.receive_wav(0)
    ledger.cut_here()
    assert ledger.stale_samples == (3 + 26) * TOKEN_SAMPLES - delivered[0]


@given(st.lists(st.integers(26, 26), min_size=1, max_size=60))
def test_leftover_is_below_a_window_when_nothing_is_due(groups: list[int]) -> None:
    ledger = VocoderLedger()
    number = 0
    for tokens in groups:
        ledger.receive_tokens(tokens)
        assert ledger.is_due
        while ledger.is_due:
            ledger.receive_wav(number)
            number += 1
        ledger.cut_here()
        assert 3 <= (ledger.stale_samples - HELD_SAMPLES) // TOKEN_SAMPLES < 28


@given(st.lists(st.integers(1, 80), min_size=1, max_size=6), st.data())
def test_windows_that_come_before_their_groups_file_are_owed_no_second_time(
    groups: list[int], data: st.DataObject
) -> None:
    # Simplex: 25 tokens at a time are handed over, each a window; what is left below 25 stays with TTS.
    ledger = VocoderLedger()
    unread = sum(groups) // 25
    for tokens in groups:
        early = data.draw(st.integers(0, unread))
        unread -= early
        for _ in range(early):
            ledger.receive_early_wav()
        assert ledger.stale_samples >= 0
        ledger.receive_tokens(tokens)
    assert ledger.is_due == (unread > 0)
    for _ in range(unread):
        ledger.receive_early_wav()
    assert not ledger.is_due
    ledger.cut_here()
    held = HELD_SAMPLES if sum(groups) >= 25 else 0
    assert ledger.stale_samples == held + (3 + sum(groups) % 25) * TOKEN_SAMPLES


def test_a_wav_out_of_nowhere_leaves_what_was_looked_ahead() -> None:
    ledger = VocoderLedger()
    ledger.receive_wav(0)
    ledger.receive_tokens(24)
    assert not ledger.is_due
    ledger.receive_tokens(1)
    assert ledger.is_due


@given(st.integers(0, 300), st.lists(st.integers(0, 60), max_size=12))
def test_trim_cuts_exactly(samples: int, sizes: list[int]) -> None:
    pieces = [bytes([index + 1]) * 2 * size for index, size in enumerate(sizes)]
    trim = HeadTrim()
    rest = b"".join(trim.take(piece, samples) for piece in pieces)
    assert rest == b"".join(pieces)[2 * samples :]


def test_trim_starts_anew() -> None:
    trim = HeadTrim()
    assert trim.take(b"aabb", 1) == b"bb"
    assert trim.take(b"cc", 1) == b"cc"
    trim.start()
    assert trim.take(b"dd", 1) == b""


def test_trim_hears_of_a_shorter_head_on_the_way() -> None:
    trim = HeadTrim()
    assert trim.take(b"aabb", 3) == b""
    assert trim.take(b"ccdd", 2) == b"ccdd"
    assert trim.take(b"eeff", 3) == b"ff"
