"""Short-lived keys for pages, which must not hold a real one: made, counted, remembered only as hashes."""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from duplex.errors import InvalidEvent

__all__ = ["MOST_SECRETS", "ClientSecrets", "SecretWish", "parse_wish"]

MOST_SECRETS = 1000
"""Beyond it the one that would end first ends at once."""

_PREFIX = "ek_"


class _ExpiresAfter(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    anchor: Literal["created_at"] = "created_at"
    seconds: Annotated[int, Field(ge=10, le=7200)] = 600


class SecretWish(BaseModel):
    """What is asked for: a life of 10 to 7200 s, 600 by default, and the session that the key is to begin with."""

    model_config = ConfigDict(extra="allow", frozen=True)

    expires_after: _ExpiresAfter = _ExpiresAfter()
    session: dict[str, Any] = {}


def parse_wish(body: bytes) -> SecretWish:
    """Read the body of a request; an empty one asks for nothing special. Raises `InvalidEvent` naming the field."""
    try:
        return SecretWish.model_validate_json(body or b"{}", strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        raise InvalidEvent(f"Invalid value for '{path or 'body'}': {first['msg']}.", param=path or None) from None


@dataclass(frozen=True, slots=True)
class _Kept:
    ends: int
    owner: str
    session: Mapping[str, Any]


@dataclass(slots=True)
class ClientSecrets:
    """The keys in force. `now` gives Unix seconds, because clients are told when a key ends."""

    now: Callable[[], float]
    _kept: dict[bytes, _Kept] = field(default_factory=dict)

    def make(self, life_s: int, owner: str = "", session: Mapping[str, Any] | None = None) -> tuple[str, int]:
        """A new key for `owner`, and the Unix second from which on it is worth nothing.

        `session` is what its connections begin with, as a `session.update` would say it.
        """
        self._forget_ended()
        if len(self._kept) >= MOST_SECRETS:
            del self._kept[min(self._kept, key=lambda key: self._kept[key].ends)]
        value, ends = _PREFIX + secrets.token_hex(16), int(self.now()) + life_s
        self._kept[_hashed(value)] = _Kept(ends, owner, session or {})
        return value, ends

    def knows(self, key: str) -> bool:
        """Is `key` one of ours, and still in force?"""
        return self.owner(key) is not None

    def owner(self, key: str) -> str | None:
        """For whom `key` was made; None for one that is not ours or no longer in force."""
        kept = self._find(key)
        return kept.owner if kept else None

    def session(self, key: str) -> Mapping[str, Any]:
        """What a connection with `key` begins with; nothing special for one that is not ours."""
        kept = self._find(key)
        return kept.session if kept else {}

    def _find(self, key: str) -> _Kept | None:
        self._forget_ended()
        wanted = _hashed(key)
        # As with real keys every one is compared: the answer's delay tells nothing.
        found = [kept for known, kept in self._kept.items() if hmac.compare_digest(wanted, known)]
        return found[0] if found else None

    def _forget_ended(self) -> None:
        now = self.now()
        for key in [key for key, kept in self._kept.items() if kept.ends <= now]:
            del self._kept[key]


def _hashed(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
