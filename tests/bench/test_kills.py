"""That one late answer of a hundred shows."""

import pytest

from bench.kills import rows


@pytest.mark.parametrize(("answer_s", "met"), [(2.4, True), (2.6, False)])
def test_every_answer_is_held_to_its_own_restart(answer_s: float, met: bool) -> None:
    found = list(rows([*((3.0, 3.2) for _ in range(99)), (1.5, answer_s)]))
    assert [len(row.values) for row in found] == [100, 100, 100]
    assert [row.is_met for row in found] == [True, True, met]
