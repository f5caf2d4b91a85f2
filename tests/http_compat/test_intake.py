"""Chunks of any length in, whole tenths of a second out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.engine.base import Mode
from http_compat.intake import Intake

TENTH = 3200
LEAST = {Mode.SIMPLEX: 2 * TENTH, Mode.DUPLEX: 10 * TENTH}
MOST = 100 * TENTH
LENGTHS = st.lists(
    st.integers(0, 2000).map(lambda samples: 2 * samples)
    | st.integers(0, 30).map(lambda tenths: TENTH * tenths)
    | st.integers(16_000, 500_000).map(lambda samples: 2 * samples),
    max_size=12,
)


def sound(length: int, beginning: int) -> bytes:
    """Whose samples tell where they came from."""
    return b"".join(number.to_bytes(2, "little") for number in ((beginning + at) % 65_536 for at in range(length // 2)))


RAMP = sound(2 * 65_536, 0) * 40


@pytest.mark.parametrize("mode", Mode)
@given(lengths=LENGTHS)
def test_what_comes_out_is_what_went_in(mode: Mode, lengths: list[int]) -> None:
    intake = Intake(mode)
    taken, out = 0, b""
    for length in lengths:
        start = taken % (2 * 65_536)
        pieces = intake.push(RAMP[start : start + length])
        taken += length
        for piece in pieces:
            assert len(piece) % TENTH == 0
            assert 0 < len(piece) <= MOST
        out += b"".join(pieces)
        waiting = taken - len(out)
        # Either the least has not come together yet, or only a broken tenth waits.
        assert waiting < (TENTH if pieces else LEAST[mode])
    rest = intake.flush()
    assert len(rest) == taken - len(out)
    assert out + rest == (RAMP * (1 + taken // len(RAMP)))[:taken]
    assert intake.flush() == b""


@pytest.mark.parametrize(
    ("mode", "lengths", "expected"),
    [
        (Mode.SIMPLEX, [2560, 2560, 2560], [[], [], [2 * TENTH]]),
        (Mode.SIMPLEX, [TENTH, TENTH], [[], [2 * TENTH]]),
        (Mode.SIMPLEX, [10 * TENTH], [[10 * TENTH]]),
        (Mode.SIMPLEX, [10 * TENTH + 2, 2 * TENTH - 2], [[10 * TENTH], [2 * TENTH]]),
        (Mode.DUPLEX, [5 * TENTH, 5 * TENTH - 2, 2], [[], [], [10 * TENTH]]),
        (Mode.DUPLEX, [12 * TENTH + 640], [[12 * TENTH]]),
        (Mode.DUPLEX, [MOST], [[MOST]]),
        (Mode.SIMPLEX, [2 * MOST + 3 * TENTH + 2], [[MOST, MOST, 3 * TENTH]]),
    ],
)
def test_what_can_be_heard_at_once(mode: Mode, lengths: list[int], expected: list[list[int]]) -> None:
    intake = Intake(mode)
    assert [[len(piece) for piece in intake.push(bytes(length))] for length in lengths] == expected


def test_the_rest_may_have_any_length() -> None:
    intake = Intake(Mode.SIMPLEX)
    assert intake.push(bytes(2)) == []
    assert intake.flush() == bytes(2)
    assert intake.push(bytes(2 * TENTH)) == [bytes(2 * TENTH)]
