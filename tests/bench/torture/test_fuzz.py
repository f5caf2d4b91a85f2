"""The short form of the fuzz, and that it can find something."""

from collections import Counter

import pytest

from bench.torture.fuzz import Batch, batches, fuzz, message
from bench.torture.parsers import Parser, parsers

KNOWN = dict(parsers())


@pytest.mark.parametrize("name", KNOWN)
def test_nothing_but_refusals_comes_out(name: str) -> None:
    parser = KNOWN[name]
    found = fuzz(Batch(name, seed=1, first=0, count=max(60, round(12_000 * parser.share))), known=KNOWN)
    assert found.failures == []
    # What understands all, or refuses all, was not asked what it is for. Keys may be anything, an object may be none.
    assert found.understood
    assert found.refused or name == "generate body"


def test_a_failure_is_told_with_its_number() -> None:
    def read(content: bytes) -> None:
        if b"!" in content:
            raise KeyError(content)
        if b"?" in content:
            raise ValueError

    parser = Parser("odd", 1.0, [b"what now", b"what!", b"what?"], read, (ValueError,))
    found = fuzz(Batch("odd", seed=3, first=10, count=100), known={"odd": parser})
    assert found.understood
    assert found.refused
    number = int(found.failures[0].split(":")[1])
    assert 10 <= number < 110
    with pytest.raises(KeyError):
        read(message(parser, 3, number))


def test_a_run_is_shared_out_and_the_shares_are_a_whole() -> None:
    assert sum(parser.share for parser in KNOWN.values()) == pytest.approx(1.0)
    counts: Counter[str] = Counter()
    for batch in batches(1, 50_000, list(KNOWN.values())):
        counts[batch.parser] += batch.count
    assert counts == {name: round(50_000 * parser.share) for name, parser in KNOWN.items()}
