"""Who may connect."""

import pytest

from duplex.errors import NotAuthorised, OriginRefused
from realtime.access import Access
from realtime.keys import KeyRing

OPEN = Access()
KEYED = Access(keys=KeyRing(("alpha", "beta")), origins=("https://demo.example",))


@pytest.mark.parametrize(
    ("access", "headers", "subprotocols"),
    [
        (OPEN, {}, ()),
        (OPEN, {"origin": "http://127.0.0.1:9060", "host": "127.0.0.1:9060"}, ()),
        (OPEN, {"origin": "http://localhost:9060", "host": "localhost:9060"}, ()),
        (OPEN, {"origin": "http://[::1]:9060", "host": "[::1]:9060"}, ()),
        (KEYED, {"authorization": "Bearer beta"}, ()),
        (KEYED, {"authorization": "bearer alpha"}, ()),
        (KEYED, {"x-api-key": "alpha"}, ()),
        (KEYED, {}, ("realtime", "openai-insecure-api-key.alpha")),
        (KEYED, {"origin": "https://demo.example", "host": "h", "x-api-key": "beta"}, ()),
        (KEYED, {"origin": "https://box.lan:9060", "host": "box.lan:9060", "x-api-key": "beta"}, ()),
    ],
)
def test_admitted(access: Access, headers: dict[str, str], subprotocols: tuple[str, ...]) -> None:
    access.check(headers, subprotocols)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer gamma"},
        {"authorization": "Bearer "},
        {"authorization": "alpha"},
        {"x-api-key": ""},
    ],
)
def test_without_a_key(headers: dict[str, str]) -> None:
    with pytest.raises(NotAuthorised):
        KEYED.check(headers)


@pytest.mark.parametrize(
    ("access", "origin", "host"),
    [
        (OPEN, "https://evil.example", "127.0.0.1:9060"),
        (OPEN, "null", "127.0.0.1:9060"),
        (OPEN, "http://localhost:3000", "localhost:9060"),
        # A name of the attacker's that resolves to 127.0.0.1 makes a page of his look like ours.
        (OPEN, "http://rebound.example:9060", "rebound.example:9060"),
        (KEYED, "https://evil.example", "box.lan:9060"),
        (OPEN, "http://[127.0.0.1", "127.0.0.1:9060"),
        (KEYED, "http://[::9]9]", ""),
    ],
)
def test_foreign_pages(access: Access, origin: str, host: str) -> None:
    with pytest.raises(OriginRefused):
        access.check({"origin": origin, "host": host, "x-api-key": "alpha"})
