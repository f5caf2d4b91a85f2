"""The API keys in force: known by their hashes, compared in constant time, exchanged while the server runs."""

import hashlib
import hmac
from collections.abc import Iterable

__all__ = ["KeyRing", "key_owner", "parse_keys"]


def key_owner(key: str) -> str:
    """How whoever has `key` is called inside: the same for the same key, and of no use as one."""
    return f"key {_hashed(key).hex()}"


def parse_keys(text: str) -> tuple[str, ...]:
    """The keys of a key file: one a line; empty lines, and lines that begin with #, are passed over."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


class KeyRing:
    """No keys at all means that nobody needs one, which is for loopback only. Only hashes of keys are kept."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._hashes = _all_hashed(keys)

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def exchange(self, keys: Iterable[str]) -> None:
        """From now on these count and no others.

        Raises `ValueError`, changing nothing, when there are none: a server that needs keys never ceases to.
        """
        hashes = _all_hashed(keys)
        if not hashes:
            raise ValueError("a ring that has keys cannot be emptied")
        self._hashes = hashes

    def knows(self, key: str) -> bool:
        """Is `key` in force?"""
        return self._has(_hashed(key))

    def knows_owner(self, owner: str) -> bool:
        """Is the key in force whose `key_owner` this is?"""
        kind, _, digest = owner.partition(" ")
        try:
            return kind == "key" and self._has(bytes.fromhex(digest))
        except ValueError:
            return False

    def _has(self, wanted: bytes) -> bool:
        # Each is compared, and whole: the answer's delay must not tell how much of a key was right, or which.
        return sum([hmac.compare_digest(wanted, known) for known in self._hashes]) > 0


def _all_hashed(keys: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(_hashed(key) for key in keys))


def _hashed(key: str) -> bytes:
    # Not salted and not slow: keys are random and checked at every request. docs/operations.md asks for long ones.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
