"""How a phone gets to the page: the address in the local network, and the same as a QR code for the terminal."""

import io
from collections.abc import Iterable
from urllib.parse import quote

import segno

__all__ = ["phone_lines", "phone_url"]

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_ALL_ADDRESSES = {"0.0.0.0", "::", ""}  # noqa: S104 - compared, not bound


def phone_url(host: str, port: int, scheme: str, key: str | None, addresses: Iterable[str]) -> str | None:
    """The page's address for other devices; None when they cannot reach it, or browsers gave it no microphone there.

    `addresses` are this machine's own, for a `host` that means all of them.
    """
    if scheme != "https" or host in _LOOPBACK:
        return None
    reached = next(iter(sorted(addresses)), None) if host in _ALL_ADDRESSES else host
    if reached is None:
        return None
    name = f"[{reached}]" if ":" in reached else reached
    return f"{scheme}://{name}:{port}/" + (f"#key={quote(key, safe='')}" if key else "")


def phone_lines(url: str) -> tuple[str, ...]:
    """The address and its QR code, in lines of a terminal; it can be read on dark and on light ground."""
    drawn = io.StringIO()
    segno.make(url, error="l").terminal(out=drawn, border=2, compact=True)
    return (
        f"  Phone   {url}",
        "          scan this with its camera; the browser asks once about the certificate",
        drawn.getvalue(),
    )
