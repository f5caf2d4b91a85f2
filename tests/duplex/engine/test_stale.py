from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.engine.stale import HELD_SAMPLES, TOKEN_SAMPLES, HeadTrim, VocoderLedger

Step = Callable[[VocoderLedger], None]


def group(tokens: int = 26) -> Step:
    return lambda ledger: ledger.receive_tokens(tokens)


def wav(ledger: VocoderLedger) -> None:
    ledger.receive_wav()


def flag(ledger: VocoderLedger) -> None:
    ledger.end_turn()


def broken(ledger: VocoderLedger) -> None:
    ledger.mark()


def restarted(ledger: VocoderLedger) -> None:
    ledger.drop_before_mark()


def quiet(ledger: VocoderLedger) -> None:
    ledger.drop_what_is_due()
    ledger.mark()


@pytest.mark.parametrize(
    ("steps", "stale"),
    [
        ([], 0),
        ([group(10)], (3 + 10) * TOKEN_SAMPLES),
        ([group(), wav], HELD_SAMPLES + 4 * TOKEN_SAMPLES),
        ([group(), wav, group(), wav], HELD_SAMPLES + 5 * TOKEN_SAMPLES),
        ([group(), wav] * 24, HELD_SAMPLES + 27 * TOKEN_SAMPLES),
        ([group(), wav] * 24 + [group(), wav, wav], HELD_SAMPLES + 3 * TOKEN_SAMPLES),
        ([group(), wav, flag], HELD_SAMPLES),
        ([group(), wav, flag, group(), wav], HELD_SAMPLES + 4 * TOKEN_SAMPLES),
        ([group(), wav, broken, restarted], HELD_SAMPLES),
        ([group(), wav, broken, group(), restarted, wav], HELD_SAMPLES + 4 * TOKEN_SAMPLES),
        ([group(), wav, broken, quiet], HELD_SAMPLES + 4 * TOKEN_SAMPLES),
        ([group(), broken, quiet], 0),
        ([broken, group(), quiet], 0),
        ([broken, group(), group(10), quiet], 13 * TOKEN_SAMPLES),
        ([group(), wav, broken, group(), group(), restarted, wav, quiet], HELD_SAMPLES + 4 * TOKEN_SAMPLES),
        ([group(), wav, broken, group(), group(), restarted, wav, wav, quiet], HELD_SAMPLES + 5 * TOKEN_SAMPLES),
        ([group(), wav, broken, group(), group(), quiet], HELD_SAMPLES),
        ([broken, group(), group(), wav, quiet], HELD_SAMPLES + 4 * TOKEN_SAMPLES),
        ([broken, group(), group(), wav, quiet, restarted], HELD_SAMPLES),
        ([group(), broken, wav, group(), group(10), quiet], HELD_SAMPLES + 14 * TOKEN_SAMPLES),
        ([group(), broken, wav, wav, group(), quiet], HELD_SAMPLES),
        ([broken, group(), wav, flag, group(), quiet], HELD_SAMPLES),
        ([group(), wav, broken, quiet, quiet], HELD_SAMPLES + 4 * TOKEN_SAMPLES),
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
        "emptied by the break",
        "emptied, and the group that ended after it",
        "a break that emptied nothing",
        "emptied unseen",
        "the break met the group that woke it",
        "the break met the group that woke it, and a rest came after",
        "the break met the group that woke it, and the next was rendered",
        "emptied at once, and both groups were rendered",
        "emptied unseen with both groups",
        "the first window of all may be older than the drop or newer",
        "it was older, as the next number shows",
        "the break met a window, and the group after it was dropped",
        "more was rendered than can have come after the drop",
        "what was rendered before a flag says nothing of what came after it",
        "quiet twice",
    ],
)
def test_stale_head(steps: list[Step], stale: int) -> None:
    ledger = VocoderLedger()
    for step in steps:
        step(ledger)
    assert ledger.stale_samples == stale


def test_every_sample_stands_for_a_token() -> None:
    # The sizes the real vocoder gave for a prefix of 3, a group of 26, a break, a group of 26 and its final window.
    delivered = [20160, 24000, 8640]
    assert sum(delivered) == (3 + 26 + 26) * TOKEN_SAMPLES
    ledger = VocoderLedger()
    ledger.receive_tokens(26)
    ledger.receive_wav()
    assert ledger.stale_samples == (3 + 26) * TOKEN_SAMPLES - delivered[0]


@given(st.lists(st.integers(26, 26), min_size=1, max_size=60))
def test_leftover_is_below_a_window_when_nothing_is_due(groups: list[int]) -> None:
    ledger = VocoderLedger()
    for tokens in groups:
        ledger.receive_tokens(tokens)
        assert ledger.is_due
        while ledger.is_due:
            ledger.receive_wav()
        assert 3 <= ledger.buffered_tokens < 28


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
            ledger.receive_wav(is_piecemeal=True)
        assert ledger.stale_samples >= 0
        ledger.receive_tokens(tokens)
    assert ledger.is_due == (unread > 0)
    for _ in range(unread):
        ledger.receive_wav(is_piecemeal=True)
    assert not ledger.is_due
    assert ledger.buffered_tokens == 3 + sum(groups) % 25


def test_a_drop_counts_anew_for_certain_where_nothing_was_rendered() -> None:
    ledger = VocoderLedger()
    ledger.receive_tokens(26)
    assert ledger.drop_what_is_due()
    assert not ledger.drop_what_is_due()
    ledger.mark()
    ledger.receive_tokens(26)
    ledger.receive_wav()
    ledger.receive_tokens(26)
    assert not ledger.drop_what_is_due()
    ledger.mark()
    ledger.receive_tokens(26)
    ledger.receive_tokens(26)
    ledger.drop_before_mark()
    ledger.receive_wav()
    assert not ledger.drop_what_is_due()
    assert ledger.buffered_tokens == 4


def test_a_wav_out_of_nowhere_leaves_what_was_looked_ahead() -> None:
    ledger = VocoderLedger()
    ledger.receive_wav()
    assert ledger.buffered_tokens == 3


@given(st.integers(0, 300), st.lists(st.integers(0, 60), max_size=12))
def test_trim_cuts_exactly(samples: int, sizes: list[int]) -> None:
    pieces = [bytes([index + 1]) * 2 * size for index, size in enumerate(sizes)]
    trim = HeadTrim()
    trim.start(samples)
    rest = b"".join(trim.take(piece) for piece in pieces)
    assert rest == b"".join(pieces)[2 * samples :]
    assert trim.remaining_samples == max(0, samples - sum(sizes))


def test_trim_starts_anew() -> None:
    trim = HeadTrim()
    trim.start(100)
    trim.start(1)
    assert trim.take(b"aabb") == b"bb"
    assert trim.take(b"cc") == b"cc"
