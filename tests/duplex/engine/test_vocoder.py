import pytest

from duplex.engine.base import Mode
from duplex.engine.stale import HELD_SAMPLES, TOKEN_SAMPLES
from duplex.engine.vocoder import Vocoder


def _with_group(tokens: int, *, is_rendered: bool) -> Vocoder:
    vocoder = Vocoder()
    vocoder.spool.consume(4)
    vocoder.ledger.receive_tokens(tokens)
    if is_rendered:
        vocoder.ledger.receive_wav()
    return vocoder


@pytest.mark.parametrize(
    ("mode", "cut"), [(Mode.SIMPLEX, HELD_SAMPLES), (Mode.DUPLEX, HELD_SAMPLES + 4 * TOKEN_SAMPLES)]
)
def test_a_conversation_begins_without_the_end_of_the_last(mode: Mode, cut: int) -> None:
    vocoder = _with_group(26, is_rendered=True)
    vocoder.begin(mode)
    assert vocoder.trim.remaining_samples == cut


@pytest.mark.parametrize(
    ("mode", "tokens", "is_rendered", "cut", "counts_anew"),
    [
        (Mode.SIMPLEX, 10, False, 0, False),
        (Mode.SIMPLEX, 26, True, HELD_SAMPLES, False),
        (Mode.DUPLEX, 10, False, 13 * TOKEN_SAMPLES, False),
        (Mode.DUPLEX, 26, True, HELD_SAMPLES + 4 * TOKEN_SAMPLES, False),
        (Mode.DUPLEX, 26, False, 0, True),
    ],
)
def test_what_a_break_leaves(mode: Mode, tokens: int, *, is_rendered: bool, cut: int, counts_anew: bool) -> None:
    vocoder = _with_group(tokens, is_rendered=is_rendered)
    vocoder.settle(mode)
    assert vocoder.trim.remaining_samples == cut
    assert vocoder.spool.expected == (0 if counts_anew else 5)
