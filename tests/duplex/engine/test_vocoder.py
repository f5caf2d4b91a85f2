import pytest

from duplex.engine.base import Mode
from duplex.engine.stale import HELD_SAMPLES, TOKEN_SAMPLES
from duplex.engine.vocoder import Vocoder


def _with_group(tokens: int, *, is_rendered: bool) -> Vocoder:
    vocoder = Vocoder()
    vocoder.ledger.receive_tokens(tokens)
    if is_rendered:
        vocoder.spool.consume(0)
        vocoder.ledger.receive_wav(0)
    return vocoder


@pytest.mark.parametrize(
    ("mode", "cut"), [(Mode.SIMPLEX, HELD_SAMPLES), (Mode.DUPLEX, HELD_SAMPLES + 4 * TOKEN_SAMPLES)]
)
def test_a_conversation_begins_without_the_end_of_the_last(mode: Mode, cut: int) -> None:
    vocoder = _with_group(26, is_rendered=True)
    vocoder.begin(mode)
    assert vocoder.ledger.stale_samples == cut


@pytest.mark.parametrize(
    ("mode", "tokens", "is_rendered", "cut", "expected"),
    [
        (Mode.SIMPLEX, 10, False, 0, 0),
        (Mode.SIMPLEX, 26, True, HELD_SAMPLES, 1),
        (Mode.DUPLEX, 10, False, 13 * TOKEN_SAMPLES, 0),
        (Mode.DUPLEX, 26, True, HELD_SAMPLES + 4 * TOKEN_SAMPLES, 1),
        (Mode.DUPLEX, 26, False, 0, 0),
    ],
)
def test_what_a_break_leaves(mode: Mode, tokens: int, *, is_rendered: bool, cut: int, expected: int) -> None:
    vocoder = _with_group(tokens, is_rendered=is_rendered)
    vocoder.begin_break(mode)
    vocoder.settle(mode)
    assert vocoder.ledger.stale_samples == cut
    assert vocoder.spool.expected == expected


def test_a_count_that_begins_anew_is_known_before_its_first_file() -> None:
    vocoder = _with_group(26, is_rendered=True)
    vocoder.begin_break(Mode.DUPLEX)
    vocoder.ledger.receive_tokens(26)
    vocoder.settle(Mode.DUPLEX)
    assert vocoder.spool.expected == 0


def test_the_head_is_cut_from_each_answer() -> None:
    vocoder = _with_group(26, is_rendered=True)
    vocoder.end_turn()
    for _ in range(2):
        assert vocoder.trim.take(bytes(2 * HELD_SAMPLES) + b"ab", vocoder.ledger.stale_samples) == b"ab"
        vocoder.cut_here()
