"""How much one address or one key may ask of the server: connections at once, connections and bytes a minute.

    Quotas
      "address 198.51.100.7"   3 connections, a bucket of connects, a bucket of bytes
      "key 5f70bf18…"          likewise

A bucket holds a minute's worth and fills evenly, so a burst is free and a lasting excess is not. Rows whose buckets
are full again are forgotten; there are never more than `MOST_ROWS`.
"""

import ipaddress
from dataclasses import dataclass

from duplex.errors import TooManyRequests

__all__ = ["MOST_ROWS", "Allowance", "Quotas", "address_owner"]

MOST_ROWS = 10_000
"""Beyond it the oldest row without a connection is forgotten."""

_MINUTE_S = 60.0
_HARDLY_ANYTHING = 1e-6
_IPV6_NEIGHBOURHOOD = 64
"""What one subscriber gets: whoever has one such address has 2**64 of them."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one owner may have; 0 means no bound."""

    connections: int
    connects_per_minute: int
    bytes_per_minute: int


def address_owner(host: str) -> str | None:
    """Who is charged for what comes from `host`, an address; None for this machine itself, which is never charged."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return f"address {host}"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return f"address {ipaddress.ip_network((address, _IPV6_NEIGHBOURHOOD), strict=False)}"
    return f"address {address}"


class _Bucket:
    """`now` never goes back."""

    def __init__(self, per_minute: int, now: float) -> None:
        self._per_minute = per_minute
        self._level = float(per_minute)
        self._at = now

    def wait_s(self, now: float) -> float:
        """How long until something can be taken: 0 when it can be now, else a second or more."""
        self._fill(now)
        missing = 1 - self._level
        # What was filled up piece by piece may lack the last bit of a number.
        return max(1.0, missing / self._per_minute * _MINUTE_S) if missing > _HARDLY_ANYTHING else 0.0

    def take(self, amount: float, now: float) -> None:
        """Take it, even if that leaves a debt."""
        self._fill(now)
        self._level -= amount

    def is_full(self, now: float) -> bool:
        """Whether it is as if nothing had ever been taken."""
        self._fill(now)
        return self._level >= self._per_minute

    def _fill(self, now: float) -> None:
        gained = max(0.0, now - self._at) / _MINUTE_S * self._per_minute
        self._level, self._at = min(float(self._per_minute), self._level + gained), max(self._at, now)


class _Row:
    def __init__(self, allowance: Allowance, now: float) -> None:
        self.connections = 0
        self.connects = _Bucket(allowance.connects_per_minute, now)
        self.bytes = _Bucket(allowance.bytes_per_minute, now)

    def is_blank(self, now: float) -> bool:
        return not self.connections and self.connects.is_full(now) and self.bytes.is_full(now)


class Quotas:
    """All owners of one kind. All `now` are seconds of one monotonic clock."""

    def __init__(self, allowance: Allowance, what: str) -> None:
        """`what`: how the kind is called in refusals, as in "for one address"."""
        self._allowance = allowance
        self._what = what
        self._rows: dict[str, _Row] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def connect(self, owner: str, now: float) -> None:
        """One more attempt to connect. Raises `TooManyRequests`, changing nothing."""
        limit = self._allowance.connects_per_minute
        if not limit:
            return
        bucket = self._row(owner, now).connects
        wait_s = bucket.wait_s(now)
        if wait_s:
            raise TooManyRequests(
                f"More than {limit} connections within a minute {self._what}. Try again in {wait_s:.0f} s.",
                retry_after_s=wait_s,
            )
        bucket.take(1, now)

    def enter(self, owner: str, now: float) -> None:
        """One more connection, until `leave`. Raises `TooManyRequests`, changing nothing."""
        limit, row = self._allowance.connections, self._row(owner, now)
        if limit and row.connections >= limit:
            raise TooManyRequests(
                f"More than {limit} connections at the same time {self._what}. End one of them first.",
                retry_after_s=_MINUTE_S,
            )
        row.connections += 1

    def leave(self, owner: str, now: float) -> None:
        """One connection less."""
        self._row(owner, now).connections -= 1

    def spend(self, owner: str, size: int, now: float) -> None:
        """So many bytes have come. Raises `TooManyRequests` once more has come than flows in a minute."""
        limit = self._allowance.bytes_per_minute
        if not limit:
            return
        bucket = self._row(owner, now).bytes
        wait_s = bucket.wait_s(now)
        if wait_s:
            raise TooManyRequests(
                f"More than {limit // 2**20} MiB within a minute {self._what}. Send less, from {wait_s:.0f} s on.",
                retry_after_s=wait_s,
            )
        bucket.take(size, now)

    def _row(self, owner: str, now: float) -> _Row:
        row = self._rows.get(owner)
        if row is None:
            if len(self._rows) >= MOST_ROWS:
                self._forget(now)
            row = self._rows[owner] = _Row(self._allowance, now)
        return row

    def _forget(self, now: float) -> None:
        for owner in [owner for owner, row in self._rows.items() if row.is_blank(now)]:
            del self._rows[owner]
        idle = (owner for owner, row in self._rows.items() if not row.connections)
        while len(self._rows) >= MOST_ROWS and (oldest := next(idle, None)) is not None:
            del self._rows[oldest]
            idle = (owner for owner, row in self._rows.items() if not row.connections)
