"""Who may connect: keys for programs, origins for pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from duplex.errors import NotAuthorised, OriginRefused
from realtime.client_secrets import ClientSecrets
from realtime.keys import KeyRing, key_owner

__all__ = ["KEY_SUBPROTOCOL", "Access"]

KEY_SUBPROTOCOL = "openai-insecure-api-key."
"""Browsers cannot set headers on a WebSocket; OpenAI's clients carry the key in an offered subprotocol."""

_LOOPBACK_NAMES = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True)
class Access:
    """No `keys` means that nobody needs one, which is for loopback only. `origins` are whole, as browsers send them."""

    keys: KeyRing = field(default_factory=KeyRing)
    origins: tuple[str, ...] = ()
    client_secrets: ClientSecrets | None = None
    """Short-lived keys that count beside `keys`."""

    def check(self, headers: Mapping[str, str], subprotocols: Sequence[str] = ()) -> None:
        """Raises `OriginRefused` or `NotAuthorised`. `headers` has lower-case names."""
        self._check_origin(headers.get("origin"), headers.get("host", ""))
        if not self.admits(headers, subprotocols):
            raise NotAuthorised("This server needs a key: send 'Authorization: Bearer KEY'.", code="invalid_api_key")

    def admits(self, headers: Mapping[str, str], subprotocols: Sequence[str] = ()) -> bool:
        """Whether the key that was offered opens, or none is needed. Where it comes from does not matter here."""
        return not self.keys or self._key_owner(headers, subprotocols) is not None

    def is_guess(self, headers: Mapping[str, str], subprotocols: Sequence[str] = ()) -> bool:
        """Whether a key is offered that does not open. Offering none is no guess."""
        return _offered_key(headers, subprotocols) != "" and not self.admits(headers, subprotocols)

    def owner(self, headers: Mapping[str, str], subprotocols: Sequence[str] = (), address: str = "") -> str:
        """Who is there, as far as this server tells clients apart: by key, or by `address` where no key opened.

        A short-lived key stands for the one that made it: a page that comes back has got another one meanwhile.
        """
        return (self._key_owner(headers, subprotocols) if self.keys else None) or f"address {address}"

    def session(self, headers: Mapping[str, str], subprotocols: Sequence[str] = ()) -> Mapping[str, Any]:
        """What whoever made the key wants its sessions to begin with, as a `session.update` would say it."""
        return self.client_secrets.session(_offered_key(headers, subprotocols)) if self.client_secrets else {}

    def _check_origin(self, origin: str | None, host: str) -> None:
        """No `Origin` means no browser. The page's own host may connect; without keys only under a loopback name, or a
        foreign page could reach us through a host name of its own that resolves to this machine."""
        if origin is None or origin in self.origins or self._is_own(origin, host):
            return
        raise OriginRefused(
            "This page may not connect. The operator can allow it with --allow-origin.", code="origin_refused"
        )

    def _is_own(self, origin: str, host: str) -> bool:
        try:
            page = urlsplit(origin)
        except ValueError:
            # Brackets around what is no address.
            return False
        return page.netloc == host and (bool(self.keys) or page.hostname in _LOOPBACK_NAMES)

    def _key_owner(self, headers: Mapping[str, str], subprotocols: Sequence[str]) -> str | None:
        """Whose the offered key is; None for one that does not open."""
        key = _offered_key(headers, subprotocols)
        if self.keys.knows(key):
            return key_owner(key)
        made_by = self.client_secrets.owner(key) if self.client_secrets else None
        # A short-lived key ends with the one that made it.
        return made_by if made_by is not None and self.keys.knows_owner(made_by) else None


def _offered_key(headers: Mapping[str, str], subprotocols: Sequence[str]) -> str:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key:
        return key.strip()
    if "x-api-key" in headers:
        return headers["x-api-key"]
    offered = (name for name in subprotocols if name.startswith(KEY_SUBPROTOCOL))
    return next(offered, "").removeprefix(KEY_SUBPROTOCOL)
