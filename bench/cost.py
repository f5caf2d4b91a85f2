"""What a call costs the server, its engine not counted: CPU as a share of one core, and memory."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from bench.caller import Caller, calling
from bench.figures import Goal, Row
from bench.microphone import Microphone
from bench.server import Server
from bench.speech import RATE_HZ, Utterance
from duplex.engine.base import Mode

__all__ = ["EMPTY_ROW", "IDLE_ROW", "TALKING_ROW", "Cost", "idle_cost", "rows", "talking_cost"]

_SETTLE_S = 0.5
_ANSWER_LIMIT_S = 30.0
_AHEAD_S = 0.1
IDLE_ROW = "idle session: CPU"
TALKING_ROW = "talking session: CPU"
EMPTY_ROW = "an empty server with the same frames: CPU"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one call. Each value is the mean of one window: so many seconds of silence, or one question and its answer."""

    what: str
    mode: Mode
    cpu_percent: list[float]
    memory_mb: float


class _Meter:
    """CPU of the server since the last reading, in percent of one core."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._at_s = time.monotonic()
        self._cpu_s = server.cpu_s()

    def read(self) -> float:
        """The mean since the last reading."""
        before_s, before_cpu_s = self._at_s, self._cpu_s
        self._at_s, self._cpu_s = time.monotonic(), self._server.cpu_s()
        return 100 * (self._cpu_s - before_cpu_s) / (self._at_s - before_s)


async def idle_cost(server: Server, mode: Mode, *, windows: int, window_s: float) -> Cost:
    """A call in which nobody speaks: 50 frames of silence a second."""
    async with calling(server.url(conversation=str(mode)), Microphone()) as caller:
        await _passed(caller, _SETTLE_S)
        meter = _Meter(server)
        values = []
        for _ in range(windows):
            await _passed(caller, window_s)
            values.append(meter.read())
        return Cost(IDLE_ROW, mode, values, server.memory_mb())


async def talking_cost(server: Server, mode: Mode, said: Sequence[Utterance], *, windows: int) -> Cost:
    """A call in which somebody asks, hears the answer to its end and asks again at once."""
    async with calling(server.url(conversation=str(mode)), Microphone()) as caller:
        await _passed(caller, _SETTLE_S)
        meter = _Meter(server)
        values = []
        for number in range(windows):
            utterance = said[number % len(said)]
            begin = caller.sample_at(time.monotonic() + _AHEAD_S)
            caller.microphone.say(utterance, onset=begin + utterance.onset)
            await caller.until(partial(_is_over, caller, number), "end of an answer", _ANSWER_LIMIT_S)
            values.append(meter.read())
        return Cost(TALKING_ROW, mode, values, server.memory_mb())


async def _passed(caller: Caller, seconds: float) -> None:
    """Wait until the microphone has heard so much more."""
    until = caller.microphone.position + round(seconds * RATE_HZ)
    await caller.until_heard(until)


def _is_over(caller: Caller, number: int) -> bool:
    replies = caller.log.replies
    return len(replies) > number and replies[number].done_s is not None


def rows(costs: Sequence[Cost]) -> Iterator[Row]:
    """The lines of the table."""
    for what, bound in ((IDLE_ROW, 1.0), (TALKING_ROW, 3.0)):
        for mode in Mode:
            values = [value for cost in costs if (cost.what, cost.mode) == (what, mode) for value in cost.cpu_percent]
            if values:
                yield Row(f"{what}, {mode}", "% of a core", values, (Goal(0.5, bound, strict=True),), digits=2)
    empty = [value for cost in costs if cost.what == EMPTY_ROW for value in cost.cpu_percent]
    if empty:
        yield Row(EMPTY_ROW, "% of a core", empty, digits=2)
    costs = [cost for cost in costs if cost.what != EMPTY_ROW]
    yield Row("memory of the server, after each call", "MB", [cost.memory_mb for cost in costs])
