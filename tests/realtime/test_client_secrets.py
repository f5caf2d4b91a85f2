"""Short-lived keys."""

import pytest

from duplex.errors import InvalidEvent, NotAuthorised
from realtime.access import KEY_SUBPROTOCOL, Access
from realtime.client_secrets import MOST_SECRETS, ClientSecrets, parse_wish
from realtime.keys import KeyRing


class Wall:
    """A hand-moved wall clock."""

    def __init__(self) -> None:
        self.at_s = 1_000_000.5

    def __call__(self) -> float:
        return self.at_s


def test_a_key_opens_until_it_ends_and_only_the_right_one_does() -> None:
    wall = Wall()
    store = ClientSecrets(wall)
    access = Access(keys=KeyRing(("alpha",)), client_secrets=store)
    value, ends = store.make(60, access.owner({"x-api-key": "alpha"}))
    assert value.startswith("ek_")
    assert ends == 1_000_060
    access.check({"authorization": f"Bearer {value}"})
    access.check({}, ("realtime", KEY_SUBPROTOCOL + value))
    access.check({"x-api-key": "alpha"})
    with pytest.raises(NotAuthorised):
        access.check({"x-api-key": value[:-1]})
    with pytest.raises(NotAuthorised):
        Access(keys=KeyRing(("alpha",))).check({"x-api-key": value})
    wall.at_s = float(ends)
    with pytest.raises(NotAuthorised):
        access.check({"x-api-key": value})


def test_beyond_the_bound_the_one_that_would_end_first_ends() -> None:
    store = ClientSecrets(Wall())
    last, _ = store.make(7200)
    first, _ = store.make(10)
    made = [store.make(600)[0] for _ in range(MOST_SECRETS - 1)]
    assert not store.knows(first)
    assert all(store.knows(key) for key in (last, made[0], made[-1]))


def test_a_page_is_whoever_made_its_key_however_often_it_gets_another() -> None:
    wall = Wall()
    store = ClientSecrets(wall)
    access = Access(keys=KeyRing(("alpha", "beta")), client_secrets=store)
    alpha = access.owner({"x-api-key": "alpha"})
    assert alpha != access.owner({"x-api-key": "beta"})
    for _ in range(2):
        value, _ = store.make(60, alpha)
        assert access.owner({}, ("realtime", KEY_SUBPROTOCOL + value)) == alpha
    wall.at_s += 61
    assert access.owner({"x-api-key": value}) != alpha
    assert Access(client_secrets=store).owner({"x-api-key": value}, (), "10.0.0.1") == "address 10.0.0.1"


def test_a_session_belongs_to_the_key_it_was_asked_for_with() -> None:
    wall = Wall()
    store = ClientSecrets(wall)
    access = Access(client_secrets=store)
    (plain, _), (value, ends) = store.make(60), store.make(60, session={"instructions": "Be brief."})
    assert access.session({"x-api-key": value}) == {"instructions": "Be brief."}
    assert access.session({"x-api-key": plain}) == access.session({}) == Access().session({"x-api-key": value}) == {}
    wall.at_s = float(ends)
    assert access.session({"x-api-key": value}) == {}


def test_what_may_be_asked_for() -> None:
    assert parse_wish(b"").expires_after.seconds == 600
    wish = parse_wish(b'{"expires_after": {"anchor": "created_at", "seconds": 10}, "session": {"type": "realtime"}}')
    assert (wish.expires_after.seconds, wish.session) == (10, {"type": "realtime"})


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b'{"session": 1}', "session"),
        (b'{"expires_after": {"seconds": 9}}', "expires_after.seconds"),
        (b'{"expires_after": {"seconds": 7201}}', "expires_after.seconds"),
        (b'{"expires_after": {"anchor": "never"}}', "expires_after.anchor"),
    ],
)
def test_what_may_not(body: bytes, param: str | None) -> None:
    with pytest.raises(InvalidEvent) as refused:
        parse_wish(body)
    assert refused.value.param == param
