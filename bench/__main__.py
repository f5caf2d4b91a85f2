"""`python -m bench`: measure, print one table, keep the results, and exit 0 only when every goal is met.

With `QUICK=1` in the environment a form of about a minute: fewer of everything, and two calls at a time.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from bench.barge_in import ANSWER_S, BargeIns, barge_ins
from bench.barge_in import rows as barge_in_rows
from bench.cost import EMPTY_ROW, Cost, idle_cost, talking_cost
from bench.cost import rows as cost_rows
from bench.errors import run_measurement
from bench.figures import Goal, Row, percentile
from bench.hand_off import hand_offs
from bench.hand_off import rows as hand_off_rows
from bench.http_call import http_servers
from bench.http_hand_off import WAVS_A_TURN, http_hand_offs
from bench.http_hand_off import rows as http_hand_off_rows
from bench.http_pictures import http_pictures
from bench.http_pictures import rows as http_picture_rows
from bench.http_turns import break_rows, http_breaks, http_listens, listen_rows
from bench.report import machine, show, write_results
from bench.server import Server, running_server
from bench.speech import Utterance
from bench.voices import utterances, voices_used
from duplex.engine.base import Mode

__all__ = ["FULL", "QUICK", "Plan", "main"]

_PROJECT = Path(__file__).parent.parent
_MISSED = 1
_NO_RESULT = 2
_WIDTH = 120
_START_GOAL = Goal(1.0, 3.0, strict=True)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    calls: tuple[tuple[Mode, bool], ...]
    """Calls with barge-ins: the conversation, and whether there is room noise."""
    barge_ins: int
    """In each of these calls."""
    hand_offs: int
    starts: int
    idle_windows: int
    idle_window_s: float
    talking_windows: int
    cost_modes: tuple[Mode, ...]
    with_empty_server: bool
    """For comparison: a server that drops what it hears."""
    calls_at_a_time: int
    http_turns: int
    """In each mode, and as many of the bare relay."""
    http_listens: int
    http_breaks: int
    """In each mode."""
    http_pictures: int
    results: Path


FULL = Plan(
    calls=((Mode.DUPLEX, False), (Mode.SIMPLEX, False), (Mode.DUPLEX, True), (Mode.SIMPLEX, True)),
    barge_ins=10,
    hand_offs=200,
    starts=5,
    idle_windows=5,
    idle_window_s=6.0,
    talking_windows=5,
    cost_modes=(Mode.DUPLEX, Mode.SIMPLEX),
    with_empty_server=True,
    calls_at_a_time=1,
    http_turns=20,
    http_listens=100,
    http_breaks=10,
    http_pictures=50,
    results=_PROJECT / "bench" / "results" / "latest.json",
)
QUICK = Plan(
    calls=((Mode.DUPLEX, True), (Mode.SIMPLEX, False)),
    barge_ins=2,
    hand_offs=40,
    starts=1,
    idle_windows=1,
    idle_window_s=4.0,
    talking_windows=1,
    cost_modes=(Mode.DUPLEX,),
    with_empty_server=False,
    calls_at_a_time=2,
    http_turns=2,
    http_listens=5,
    http_breaks=2,
    http_pictures=10,
    results=_PROJECT / "build" / "bench-quick.json",
)

_REALTIME, _HTTP = "realtime", "http"

_PARROT = ("--engine", "parrot")
_LONG_ANSWERS = ("--parrot-fault", f"answer_s={ANSWER_S}", "--parrot-fault", "slow_tts=12")
"""Long enough to be interrupted anywhere, and made at 24 ms for each token of 40 ms, so that in simplex the early and
middle breaks meet an engine that still decodes."""


class _Bench:
    def __init__(self, plan: Plan, console: Console) -> None:
        self._plan = plan
        self._console = console
        self._starts_s: list[float] = []
        self._said = utterances()

    async def run(self, only: str | None) -> tuple[list[Row], list[str]]:
        """Everything, one part after the other, or one part. Returns the table's rows and the notes below it."""
        rows: list[Row] = []
        notes: list[str] = []
        if only != _HTTP:
            rows, notes = await self._realtime()
        if only != _REALTIME:
            rows += await self._http()
        return rows, notes

    async def _http(self) -> list[Row]:
        plan = self._plan
        async with http_servers() as servers:
            self._tell("HTTP, hand-off")
            handed = [await http_hand_offs(servers, mode, plan.http_turns) for mode in Mode]
            self._tell("HTTP, a model that listens")
            listened = await http_listens(servers, plan.http_listens)
            self._tell("HTTP, breaks")
            broken = [one for mode in Mode for one in await http_breaks(servers, mode, plan.http_breaks)]
            self._tell("HTTP, pictures")
            pictures = await http_pictures(servers, plan.http_pictures)
        return [
            *http_hand_off_rows(handed),
            *listen_rows(listened),
            *break_rows(broken),
            *http_picture_rows(pictures),
        ]

    async def _realtime(self) -> tuple[list[Row], list[str]]:
        plan = self._plan
        async with AsyncExitStack() as stack:
            # Started one after the other, so that no start is slowed by another one.
            servers = [
                await stack.enter_async_context(self._server(*_LONG_ANSWERS)) for _ in range(plan.calls_at_a_time)
            ]
            calls = await self._barge_ins(servers)
            costs = await self._costs(servers)
        if plan.with_empty_server:
            costs.append(await self._empty())
        self._tell("hand-off")
        handed = await hand_offs(plan.hand_offs)
        while len(self._starts_s) < plan.starts:
            self._tell("start")
            async with self._server():
                pass
        rows = [
            *barge_in_rows(calls),
            *hand_off_rows(handed),
            *cost_rows(costs),
            Row("start: spawn → ready", "s", self._starts_s, (_START_GOAL,), digits=2),
        ]
        lateness_s = [value for call in calls for value in call.lateness_s]
        late = ", ".join(f"{name} {1000 * percentile(lateness_s, share):.1f}" for name, share in _SHARES)
        return rows, [voices_used(self._said), f"The caller's own lateness, part of every barge-in (ms): {late}."]

    async def _barge_ins(self, servers: Sequence[Server]) -> list[BargeIns]:
        """All calls, dealt out to the servers; each server takes one at a time."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._call(servers[number % len(servers)], number))
                for number in range(len(self._plan.calls))
            ]
        return [task.result() for task in tasks]

    async def _call(self, server: Server, number: int) -> BargeIns:
        mode, noisy = self._plan.calls[number]
        # Every call begins with another voice.
        shift = _VOICES_APART * number % len(self._said)
        said = [*self._said[shift:], *self._said[:shift]]
        async with server.one_call():
            self._tell(f"barge-in, {mode}, {'room noise' if noisy else 'clean'}")
            return await barge_ins(server, mode, self._plan.barge_ins, said, noisy=noisy, seed=number)

    async def _costs(self, servers: Sequence[Server]) -> list[Cost]:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(cost)
                for mode in self._plan.cost_modes
                for cost in (self._idle(servers[0], mode), self._talking(servers[-1], mode))
            ]
        return [task.result() for task in tasks]

    async def _idle(self, server: Server, mode: Mode) -> Cost:
        async with server.one_call():
            self._tell(f"idle session, {mode}")
            return await idle_cost(server, mode, windows=self._plan.idle_windows, window_s=self._plan.idle_window_s)

    async def _empty(self) -> Cost:
        self._tell("an empty server")
        plan = self._plan
        async with running_server(module="bench.empty_server") as server:
            cost = await idle_cost(server, Mode.DUPLEX, windows=plan.idle_windows, window_s=plan.idle_window_s)
        return replace(cost, what=EMPTY_ROW)

    async def _talking(self, server: Server, mode: Mode) -> Cost:
        async with server.one_call():
            self._tell(f"talking session, {mode}")
            return await talking_cost(server, mode, sorted(self._said, key=_length), windows=self._plan.talking_windows)

    @asynccontextmanager
    async def _server(self, *flags: str) -> AsyncIterator[Server]:
        async with running_server(*_PARROT, *flags) as server:
            self._starts_s.append(server.start_s)
            yield server

    def _tell(self, what: str) -> None:
        if self._console.is_terminal:
            self._console.print(f"measuring: {what}", style="dim", highlight=False)


_VOICES_APART = 3
_SHARES = (("p50", 0.5), ("p99", 0.99), ("max", 1.0))


def _length(utterance: Utterance) -> int:
    return len(utterance.samples)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure. Returns 0 when every goal is met, 1 when one is missed, 2 when there is no result."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the product against its goals.")
    parser.add_argument(
        "--out", type=Path, help="where the results go (default: bench/results/latest.json, of a part build/)"
    )
    parser.add_argument("--only", choices=[_REALTIME, _HTTP], help="one of the two interfaces")
    options = parser.parse_args(argv)
    plan = QUICK if os.environ.get("QUICK", "0") not in {"", "0"} else FULL
    # In a pipe there is no width to keep to.
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    load_before = os.getloadavg()
    found = run_measurement(_Bench(plan, console).run(options.only), console)
    if found is None:
        return _NO_RESULT
    rows, notes = found
    if plan is QUICK:
        barge_ins, chunks = len(plan.calls) * plan.barge_ins, WAVS_A_TURN * plan.http_turns
        notes.append(
            f"QUICK: {barge_ins} barge-ins, {plan.hand_offs} hand-offs, {chunks} HTTP chunks a mode: "
            "too few for a promise."
        )
    facts = {
        "machine": machine(),
        "quick": plan is QUICK,
        "only": options.only,
        "load_average": {"before": load_before, "after": os.getloadavg()},
        "notes": notes,
    }
    path = options.out or (_PROJECT / "build" / f"bench-{options.only}.json" if options.only else plan.results)
    write_results(path, rows, facts)
    show(console, rows, notes)
    return 0 if all(row.is_met for row in rows) else _MISSED


if __name__ == "__main__":
    sys.exit(main())
