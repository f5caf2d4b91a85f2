"""What one owner may ask of the server, with a clock that the test moves."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.errors import TooManyRequests
from web import quotas
from web.quotas import Allowance, Quotas, address_owner

MIB = 2**20


def refused(call: object, *args: object) -> TooManyRequests:
    assert callable(call)
    with pytest.raises(TooManyRequests) as error:
        call(*args)
    return error.value


def test_connections_at_once() -> None:
    rows = Quotas(Allowance(2, 0, 0), "for one address")
    rows.enter("a", 0.0)
    rows.enter("a", 0.0)
    rows.enter("b", 0.0)
    assert "More than 2 connections at the same time for one address" in str(refused(rows.enter, "a", 1.0))
    rows.leave("a", 2.0)
    rows.enter("a", 2.0)


def test_connects_a_minute_come_back_one_by_one() -> None:
    rows = Quotas(Allowance(0, 6, 0), "for one key")
    for _ in range(6):
        rows.connect("a", 100.0)
    error = refused(rows.connect, "a", 100.0)
    assert error.retry_after_s == pytest.approx(10.0)
    rows.connect("b", 100.0)
    refused(rows.connect, "a", 109.0)
    rows.connect("a", 110.0)
    refused(rows.connect, "a", 110.0)


def test_bytes_a_minute_and_a_message_that_is_larger_than_all_of_it() -> None:
    rows = Quotas(Allowance(0, 0, MIB), "for one address")
    rows.spend("a", 3 * MIB, 0.0)
    assert refused(rows.spend, "a", 1, 119.0).retry_after_s == pytest.approx(1.0, abs=0.01)
    rows.spend("a", 1, 121.0)


def test_zero_is_no_bound() -> None:
    rows = Quotas(Allowance(0, 0, 0), "")
    for _ in range(1000):
        rows.connect("a", 0.0)
        rows.enter("a", 0.0)
        rows.spend("a", 10**9, 0.0)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 40), st.integers(0, 3)), max_size=80),
    st.integers(1, 20),
)
def test_in_no_minute_does_more_than_twice_the_allowance_pass(
    steps: list[tuple[str, float, int]], per_minute: int
) -> None:
    rows, now, passed = Quotas(Allowance(0, per_minute, 0), ""), 0.0, []
    for owner, pause_s, burst in steps:
        now += pause_s
        for _ in range(burst):
            with contextlib.suppress(TooManyRequests):
                rows.connect(owner, now)
                passed.append((owner, now))
    for owner, at in passed:
        assert sum(who == owner and at <= when < at + 60 for who, when in passed) <= 2 * per_minute


def test_owners_are_forgotten_and_never_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "MOST_ROWS", 100)
    rows = Quotas(Allowance(4, 10, 0), "")
    rows.enter("stays", 0.0)
    for number in range(1000):
        rows.connect(f"flood {number}", 1.0)
        assert len(rows) <= 100
    rows.connect("last", 200.0)
    assert len(rows) == 2, "all but the one with a connection had their minute back"
    rows.leave("stays", 200.0)


@pytest.mark.parametrize(
    ("host", "owner"),
    [
        ("127.0.0.1", None),
        ("127.8.9.1", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
        ("198.51.100.7", "address 198.51.100.7"),
        ("::ffff:198.51.100.7", "address 198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "address 2001:db8:1:2::/64"),
        ("2001:db8:1:2::9%eth0", "address 2001:db8:1:2::/64"),
        ("testclient", "address testclient"),
        ("", "address "),
    ],
)
def test_who_is_charged(host: str, owner: str | None) -> None:
    assert address_owner(host) == owner
