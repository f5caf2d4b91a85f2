"""One run: a server, client processes that call it, and what is counted before, during and after."""

import asyncio
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import BenchError
from bench.torture.client import Outcome
from bench.torture.house import House, leaks, open_house
from bench.torture.plan import make_plan

__all__ = ["Found", "Wish", "describe", "torture"]

_PROJECT = Path(__file__).parents[2]
_SAMPLE_EVERY_S = 0.5
_LEAST_SAMPLES = 40
"""Of a tenth: before some minutes have gone, every run is still warming up."""
_SETTLES_WITHIN_S = 20.0
_SETTLES_WITHIN_SERVER_S = 200.0
"""Of the server's own time: what is waited for longest is an engine that hangs, and a client that may come back."""
_FLAGS = ("--queue", "64", "--log-level", "info")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be run."""

    seed: int
    first: int
    sessions: int
    seconds: float
    """After which no session begins any more."""
    engines: int
    at_once: int
    """Sessions, over all client processes."""
    clients: int
    speed: float
    """How much faster than time."""
    warm_up: int
    """Sessions before what is held is counted."""
    kind: bool = False
    log: Path | None = None


@dataclass(slots=True)
class Found:
    """What came of it."""

    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0
    rss_mb: list[float] = field(default_factory=list)
    """After the warm-up, twice a second."""
    fds: tuple[int, int] = (0, 0)
    """Before and after, when nothing runs."""
    blocks: tuple[int, int] = (0, 0)
    """Pieces of memory in use, before and after, when nothing runs."""
    of_the_server: list[str] = field(default_factory=list)
    """What is wrong with the server as a whole."""

    @property
    def violations(self) -> list[str]:
        """All that was wrong, with the number of the session where it is one's."""
        own = [f"session {one.index}: {what}" for one in self.outcomes for what in one.violations]
        return [*own, *self.of_the_server]

    def rss_growth(self) -> float | None:
        """From the first to the last tenth, 0.05 being 5 %; None when the run was too short to tell."""
        tenth = len(self.rss_mb) // 10
        if tenth < _LEAST_SAMPLES:
            return None
        first, last = statistics.median(self.rss_mb[:tenth]), statistics.median(self.rss_mb[-tenth:])
        return last / first - 1

    def ends(self) -> Counter[str]:
        """How the sessions ended."""
        return Counter(one.how for one in self.outcomes)


async def torture(wish: Wish, tell: Callable[[Outcome], None]) -> Found:
    """Run it. `tell` hears of every session that has ended. Raises `BenchError` when the server does not start."""
    found = Found()
    patience_s = _SETTLES_WITHIN_S + _SETTLES_WITHIN_SERVER_S / wish.speed
    give_up_s = time.monotonic() + wish.seconds
    began_s = time.monotonic()
    async with open_house(wish.engines, wish.speed, *_FLAGS, log=wish.log) as house:

        async def run(first: int, end: int) -> None:
            async for outcome in _run_clients(wish, house, first, end, give_up_s - time.monotonic()):
                found.outcomes.append(outcome)
                tell(outcome)

        middle = wish.first + min(wish.warm_up, wish.sessions // 2)
        await run(wish.first, middle)
        before = await house.settled(None, patience_s)
        sampling = asyncio.create_task(_sample(house, found.rss_mb))
        await run(middle, wish.first + wish.sessions)
        sampling.cancel()
        after = await house.settled(before, patience_s)
        found.fds = sum(before.fds.values()), sum(after.fds.values())
        found.blocks = before.blocks, after.blocks
        found.of_the_server = [*leaks(before, after), *await house.stop()]
    found.seconds = time.monotonic() - began_s
    return found


async def _sample(house: House, rss_mb: list[float]) -> None:
    while True:
        rss_mb.append(house.rss_mb())
        await asyncio.sleep(_SAMPLE_EVERY_S)


async def _run_clients(wish: Wish, house: House, first: int, end: int, seconds: float) -> AsyncIterator[Outcome]:
    """The sessions from `first` to `end`, as they end. Raises `BenchError` when a client process fails."""
    news: asyncio.Queue[Outcome | int] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        for number in range(wish.clients):
            command = _client_command(wish, house, first + number, end, seconds)
            group.create_task(_run_client(command, news))
        running = wish.clients
        while running:
            outcome = await news.get()
            if isinstance(outcome, int):
                running -= 1
                if outcome:
                    raise BenchError(f"A client process ended with code {outcome}.")
            else:
                yield outcome


async def _run_client(command: Sequence[str], news: "asyncio.Queue[Outcome | int]") -> None:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=_PROJECT, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            news.put_nowait(Outcome(**json.loads(line)))
        news.put_nowait(await process.wait())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _client_command(wish: Wish, house: House, first: int, end: int, seconds: float) -> list[str]:
    engines = ",".join(map(str, house.engines))
    options = {
        "--port": house.port,
        "--engines": engines,
        "--seed": wish.seed,
        "--first": first,
        "--end": end,
        "--step": wish.clients,
        "--at-once": max(1, wish.at_once // wish.clients),
        "--speed": wish.speed,
        "--seconds": seconds,
    }
    words = [str(word) for option in options.items() for word in option]
    return [sys.executable, "-m", "bench.torture.client", *words, *(["--kind"] if wish.kind else [])]


def describe(seed: int, outcome: Outcome, *, kind: bool = False) -> str:
    """What a person needs to see a violation again."""
    plan = make_plan(seed, outcome.index, faults=not kind)
    fault = f", {plan.fault.name}={plan.fault.value}" if plan.fault else ""
    return f"{plan.interface}, {plan.mode}: {' '.join(plan.steps) or 'nothing'}, then {plan.end}{fault}"
