"""How a phone gets to the page."""

import pytest

from web.phone import phone_lines, phone_url


@pytest.mark.parametrize(
    ("host", "scheme", "key", "addresses", "url"),
    [
        ("0.0.0.0", "https", "s3cret", {"192.168.1.20"}, "https://192.168.1.20:9060/#key=s3cret"),
        ("0.0.0.0", "https", "a b&c", {"10.0.0.9", "10.0.0.10"}, "https://10.0.0.10:9060/#key=a%20b%26c"),
        ("::", "https", None, {"192.168.1.20"}, "https://192.168.1.20:9060/"),
        ("voice.lan", "https", None, set(), "https://voice.lan:9060/"),
        ("fd00::1", "https", None, set(), "https://[fd00::1]:9060/"),
        ("0.0.0.0", "https", "k", set(), None),
        ("0.0.0.0", "http", "k", {"192.168.1.20"}, None),
        ("127.0.0.1", "https", "k", {"192.168.1.20"}, None),
    ],
)
def test_the_address_for_other_devices(
    host: str, scheme: str, key: str | None, addresses: set[str], url: str | None
) -> None:
    assert phone_url(host, 9060, scheme, key, addresses) == url


def test_the_code_stands_below_the_address_and_is_square() -> None:
    address, hint, code = phone_lines("https://192.168.1.20:9060/#key=s3cret")
    assert address.endswith("https://192.168.1.20:9060/#key=s3cret")
    assert "certificate" in hint
    rows = code.rstrip("\n").split("\n")
    assert {len(row) for row in rows} == {len(rows[0])}
    assert set(code) <= set("█▀▄ \n"), "no colours that a terminal would have to know"
    assert abs(len(rows) * 2 - len(rows[0])) <= 1, "two rows of modules a line"
