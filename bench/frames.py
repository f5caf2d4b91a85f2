"""How soon the server has decided about a frame of one call: the way in, the voice-activity detector, and the turn."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.capacity.sizes import CANCELLED, FLOOR, OURS
from bench.capacity.trial import Trial, run_trial
from bench.errors import BenchError
from bench.figures import Goal, Row

__all__ = ["Frames", "frames", "rows"]

_SETTLE_S = 2.0


@dataclass(frozen=True, slots=True)
class Frames:
    """Milliseconds from the client's `send` to the server's decision, one value a frame."""

    ours_ms: list[float]
    floor_ms: list[float]


async def frames(seconds: float) -> Frames:
    """50 frames a second, of ours and then of a bare echo."""
    return Frames(*[await _ages_ms(what, seconds) for what in (OURS, FLOOR)])


async def _ages_ms(what: str, seconds: float) -> list[float]:
    trial: Trial = await run_trial(
        what,
        1,
        settle_s=_SETTLE_S,
        seconds=seconds,
        afterwards_s=0.0,
        flags=("--bare",) if what == FLOOR else (),
        query=CANCELLED,
        stamp_every=1,
        keep_ages=True,
    )
    if trial.error:
        raise BenchError(trial.error)
    return list(trial.ages_ms)


def rows(found: Frames) -> Iterator[Row]:
    """The line of the table."""
    goals = (Goal(0.99, 5.0),)
    yield Row("frame sent → decided", "ms", found.ours_ms, goals, tail=0.99, digits=2, floor=found.floor_ms)
