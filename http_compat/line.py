"""Requests in the order in which they arrived, although they are read side by side.

The tail of a question and the request for its answer come at the same moment on two connections. Whoever arrives takes
a place before its body is read, and places are worked off in that order, however long each body takes. A place stays
in the line until its work is done, so a break finds everybody it concerns.
"""

import asyncio
import enum
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

from duplex.errors import EngineBusy
from duplex.tasks import wait_at_most

__all__ = ["Errand", "Line", "Place"]

Work = TypeVar("Work")


class Errand(enum.Enum):
    """What a request came for."""

    PREFILL = enum.auto()
    GENERATE = enum.auto()


class Place(Generic[Work]):
    """One request's place. Used as `with line.join(…) as place:`; whoever leaves without work lets the next go on."""

    def __init__(self, errand: Errand) -> None:
        self.errand = errand
        self.is_broken = False
        """Whether a break came while it stood here."""
        self._work: asyncio.Future[Work | None] = asyncio.get_running_loop().create_future()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.fill(None)

    @property
    def known(self) -> Work | None:
        """What is to be done, None while the body is being read and when it was no good."""
        return self._work.result() if self._work.done() else None

    def fill(self, work: Work | None) -> None:
        """The body was read: this is to be done, nothing when it was no good. The first call counts."""
        if not self._work.done():
            self._work.set_result(work)

    async def work(self) -> Work | None:
        """What is to be done, once it is known."""
        return await asyncio.shield(self._work)


class Line(Generic[Work]):
    """One worker takes places from the front."""

    def __init__(self, limit: int) -> None:
        """`limit`: how many may stand in it. A client that sends faster than the engine hears is told so."""
        self._limit = limit
        self._places: deque[Place[Work]] = deque()
        self._grown = asyncio.Event()

    def __len__(self) -> int:
        return len(self._places)

    def join(self, errand: Errand) -> Place[Work]:
        """A place at the end. Raises `EngineBusy` when the line is full."""
        if len(self._places) >= self._limit:
            raise EngineBusy(
                f"{self._limit} requests of this session wait for the engine already. Send more slowly.",
                retry_after_s=1.0,
            )
        place: Place[Work] = Place(errand)
        self._places.append(place)
        self._grown.set()
        return place

    async def first(self, patience_s: float | None = None) -> Place[Work] | None:
        """The first place; waits for one, at most so many seconds, then None. It stays the first until it leaves."""
        if not self._places:
            self._grown.clear()
            if patience_s is None:
                await self._grown.wait()
            else:
                await wait_at_most(patience_s, self._grown)
        return self._places[0] if self._places else None

    async def first_prefill(self, patience_s: float) -> Place[Work] | None:
        """The first prefill, wherever it stands; waits for one, at most so many seconds, then None."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + patience_s
        while True:
            place = next((place for place in self._places if place.errand is Errand.PREFILL), None)
            if place is not None:
                return place
            self._grown.clear()
            if not await wait_at_most(max(0.0, until_s - loop.time()), self._grown):
                return None

    def leave(self, place: Place[Work]) -> None:
        """What was to be done is done."""
        self._places.remove(place)

    def __iter__(self) -> Iterator[Place[Work]]:
        """Everybody who stands in it, the first one included."""
        return iter(tuple(self._places))
