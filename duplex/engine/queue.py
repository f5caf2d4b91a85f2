"""Who gets the next engine: those who wait, in the order they came. What they can be told of how long it takes, too."""

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Generic, TypeVar

__all__ = ["LeaseLengths", "LeaseQueue", "Place"]

W = TypeVar("W", bound=Hashable)

_REMEMBERED_LEASES = 32

_LAST_PART = 0.1
"""Of the usual length: what is told to be left of a lease that has lasted longer than usual."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one of those who wait stands now."""

    position: int
    """1 is the next."""
    length: int
    """How many wait."""
    estimated_wait_s: float | None
    """Seconds until its turn, as leases have lasted so far; None while nothing is known of that."""


class LeaseQueue(Generic[W]):
    """First come, first served. Whoever joins as `first` had an engine and lost it: those stand before all others, in
    their own order, and are not counted against `limit`."""

    def __init__(self, limit: int) -> None:
        """`limit`: how many may wait; 0 for nobody."""
        self.limit = limit
        self._first: dict[W, None] = {}
        self._others: dict[W, None] = {}

    def __len__(self) -> int:
        return len(self._first) + len(self._others)

    @property
    def is_full(self) -> bool:
        """Whether one more would be too many."""
        return len(self._others) >= self.limit

    @property
    def head(self) -> W | None:
        """Whose turn is next."""
        return next(iter(self._first or self._others), None)

    def join(self, waiter: W, *, first: bool = False) -> None:
        """Stand at the end. Whoever may do so asks `is_full` before."""
        assert first or not self.is_full, "the queue is full"
        (self._first if first else self._others)[waiter] = None

    def leave(self, waiter: W) -> None:
        """Give the place up, wherever it is; nothing for one that does not wait."""
        self._first.pop(waiter, None)
        self._others.pop(waiter, None)

    def position(self, waiter: W) -> int:
        """1 for the next, 0 for one that does not wait (any more)."""
        return next((at for at, other in enumerate((*self._first, *self._others), start=1) if other is waiter), 0)


class LeaseLengths:
    """How long the last leases lasted, and what follows from it for those who wait. All times in seconds."""

    def __init__(self) -> None:
        self._lengths: deque[float] = deque(maxlen=_REMEMBERED_LEASES)

    def record(self, lasted_s: float) -> None:
        """A lease is over."""
        self._lengths.append(lasted_s)

    def estimated_wait_s(self, position: int, running_s: Iterable[float]) -> float | None:
        """Until the `position`-th engine from now comes free, while leases run that have lasted `running_s` so far.

        Every lease is taken for one of the usual length, the median. None when no lease has ended yet, or none runs.
        """
        if not self._lengths:
            return None
        usual_s = median(self._lengths)
        left = sorted(max(usual_s - lasted_s, usual_s * _LAST_PART) for lasted_s in running_s)
        if not left:
            return None
        rounds, engine = divmod(position - 1, len(left))
        return rounds * usual_s + left[engine]
