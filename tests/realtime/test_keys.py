"""The keys in force."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.errors import NotAuthorised
from realtime.access import Access
from realtime.client_secrets import ClientSecrets
from realtime.keys import KeyRing, key_owner, parse_keys


@given(st.lists(st.text(), max_size=5), st.text())
def test_a_ring_knows_its_keys_and_no_other(keys: list[str], other: str) -> None:
    ring = KeyRing(keys)
    assert bool(ring) is bool(keys)
    assert all(ring.knows(key) and ring.knows_owner(key_owner(key)) for key in keys)
    assert ring.knows(other) is ring.knows_owner(key_owner(other)) is (other in keys)


@pytest.mark.parametrize("owner", ["", "key", "key ", "key zz", "address 10.0.0.1", "alpha"])
def test_what_is_no_owner_of_a_key(owner: str) -> None:
    assert not KeyRing(["alpha"]).knows_owner(owner)


def test_exchanged_keys_count_at_once_and_the_old_ones_no_more() -> None:
    ring = KeyRing(["old"])
    access = Access(ring)
    ring.exchange(["new", "newer"])
    access.check({"x-api-key": "newer"})
    with pytest.raises(NotAuthorised):
        access.check({"x-api-key": "old"})
    with pytest.raises(ValueError, match="emptied"):
        ring.exchange([])
    access.check({"x-api-key": "new"})


def test_a_short_lived_key_ends_with_the_one_that_made_it() -> None:
    ring, store = KeyRing(["alpha", "beta"]), ClientSecrets(lambda: 0.0)
    access = Access(ring, client_secrets=store)
    value, _ = store.make(60, access.owner({"x-api-key": "alpha"}))
    assert access.admits({"x-api-key": value})
    ring.exchange(["beta"])
    assert not access.admits({"x-api-key": value})
    assert access.owner({"x-api-key": value}, (), "10.0.0.1") == "address 10.0.0.1"


def test_no_key_can_be_read_from_what_is_kept() -> None:
    ring = KeyRing(["alpha-secret"])
    kept = repr((ring.__dict__, key_owner("alpha-secret"), Access(ring)))
    assert "alpha-secret" not in kept


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", ()),
        ("# nothing\n\n   \n", ()),
        ("one\ntwo\n", ("one", "two")),
        ("  one  \r\n# the phone\r\ntwo\r\none\r\n", ("one", "two")),
        ("with space inside\n", ("with space inside",)),
    ],
)
def test_a_key_file(text: str, keys: tuple[str, ...]) -> None:
    assert parse_keys(text) == keys
