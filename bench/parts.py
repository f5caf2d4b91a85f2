"""What is measured, part by part. Each part starts what it needs, alone on the machine, and ends it."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

from bench.barge_in import ANSWER_S, BargeIns, barge_ins
from bench.barge_in import rows as barge_in_rows
from bench.capacity.results import capacity_rows
from bench.capacity.sizes import measure, split, write_trials
from bench.cost import EMPTY_ROW, Cost, idle_cost, talking_cost
from bench.cost import rows as cost_rows
from bench.dialects import first_audio_ms
from bench.dialects import rows as dialect_rows
from bench.encoding import DIALECTS, encoding_us
from bench.figures import Goal, Row, percentile
from bench.frames import frames
from bench.frames import rows as frame_rows
from bench.hand_off import WS_DIALECTS, hand_offs
from bench.hand_off import rows as hand_off_rows
from bench.http_hand_off import http_hand_offs
from bench.http_hand_off import rows as http_hand_off_rows
from bench.http_pictures import http_pictures
from bench.http_pictures import rows as http_picture_rows
from bench.http_turns import break_rows, http_breaks, http_listens, listen_rows
from bench.memory import long_call
from bench.memory import rows as memory_rows
from bench.plan import Plan
from bench.queue import queue_up
from bench.queue import rows as queue_rows
from bench.report import machine
from bench.rig import running_rig
from bench.server import Server, running_server
from bench.speech import Utterance
from bench.voices import utterances, voices_used
from duplex.engine.base import Mode

__all__ = ["PARTS", "Found", "Part", "Tell"]

Tell = Callable[[str], None]
"""Says what is being measured."""

_PARROT = ("--engine", "parrot")
_LONG_ANSWERS = ("--parrot-fault", f"answer_s={ANSWER_S}", "--parrot-fault", "slow_tts=12")
"""Long enough to be interrupted anywhere, and made at 24 ms for each token of 40 ms, so that in simplex the early and
middle breaks meet an engine that still decodes."""
_DELTAS = 2000
_START_GOAL = Goal(1.0, 1.5)
_VOICES_APART = 3
_SHARES = (("p50", 0.5), ("p99", 0.99), ("max", 1.0))


@dataclass(frozen=True, slots=True)
class Found:
    """Lines of the table, and what a reader must know of them."""

    rows: Sequence[Row]
    notes: Sequence[str] = field(default=())


Part = Callable[[Plan, Tell], Coroutine[object, object, Found]]


async def _hand_off(plan: Plan, tell: Tell) -> Found:
    async with running_rig() as rig:
        handed = []
        for dialect in WS_DIALECTS:
            tell(f"hand-off, {dialect}")
            handed.append(await hand_offs(rig, dialect, plan.ws_turns))
        return Found(list(hand_off_rows(handed, await rig.log())))


async def _http(plan: Plan, tell: Tell) -> Found:
    async with running_rig() as rig:
        tell("HTTP, hand-off")
        handed = [await http_hand_offs(rig, mode, plan.http_turns) for mode in Mode]
        tell("HTTP, a model that listens")
        listened = await http_listens(rig, plan.http_listens)
        tell("HTTP, breaks")
        broken = [one for mode in Mode for one in await http_breaks(rig, mode, plan.http_breaks)]
        tell("HTTP, pictures")
        pictures = await http_pictures(rig, plan.http_pictures)
    return Found(
        [
            *http_hand_off_rows(handed),
            *listen_rows(listened),
            *break_rows(broken),
            *http_picture_rows(pictures),
        ]
    )


async def _barge_in(plan: Plan, tell: Tell) -> Found:
    """All calls, dealt out to the servers; each server takes one at a time."""
    said = utterances()
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(running_server(*_PARROT, *_LONG_ANSWERS))
            for _ in range(plan.calls_at_a_time)
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_interrupted(plan, number, servers[number % len(servers)], said, tell))
                for number in range(len(plan.calls))
            ]
        calls = [task.result() for task in tasks]
    lateness_s = [value for call in calls for value in call.lateness_s]
    late = ", ".join(f"{name} {1000 * percentile(lateness_s, share):.1f}" for name, share in _SHARES)
    notes = [voices_used(said), f"The caller's own lateness, part of every barge-in (ms): {late}."]
    return Found(list(barge_in_rows(calls)), notes)


async def _interrupted(plan: Plan, number: int, server: Server, said: Sequence[Utterance], tell: Tell) -> BargeIns:
    mode, noisy = plan.calls[number]
    # Every call begins with another voice.
    shift = _VOICES_APART * number % len(said)
    async with server.one_call():
        tell(f"barge-in, {mode}, {'room noise' if noisy else 'clean'}")
        return await barge_ins(server, mode, plan.barge_ins, [*said[shift:], *said[:shift]], noisy=noisy, seed=number)


async def _cost(plan: Plan, tell: Tell) -> Found:
    said = sorted(utterances(), key=_length)
    costs: list[Cost] = []
    windows, window_s = plan.cost_windows, plan.idle_window_s
    async with running_server(*_PARROT) as server:
        for mode in plan.cost_modes:
            async with server.one_call():
                tell(f"idle session, {mode}")
                costs.append(await idle_cost(server, mode, windows=windows, window_s=window_s))
            async with server.one_call():
                tell(f"talking session, {mode}")
                costs.append(await talking_cost(server, mode, said, windows=windows))
    tell("an empty server")
    async with running_server(module="bench.empty_server") as server:
        empty = await idle_cost(server, Mode.DUPLEX, windows=windows, window_s=window_s)
    return Found(list(cost_rows([*costs, replace(empty, what=EMPTY_ROW)])))


def _length(utterance: Utterance) -> int:
    return len(utterance.samples)


async def _dialects(plan: Plan, tell: Tell) -> Found:
    async with running_server(*_PARROT) as server:
        tell("first audio, binary and openai-python")
        heard_ms = await first_audio_ms(server, plan.first_audios)
    tell("encoding")
    encoded_us = {name: encoding_us(name, _DELTAS) for name in DIALECTS}
    return Found(list(dialect_rows(heard_ms, encoded_us)))


async def _frames(plan: Plan, tell: Tell) -> Found:
    tell("frames of one call")
    return Found(list(frame_rows(await frames(plan.frames_s))))


async def _memory(plan: Plan, tell: Tell) -> Found:
    tell("a long call")
    async with running_rig() as rig:
        return Found(list(memory_rows(await long_call(rig, plan.long_call_h))))


async def _start(plan: Plan, tell: Tell) -> Found:
    tell("start")
    starts_s = []
    for _ in range(plan.starts):
        async with running_server(*_PARROT) as server:
            starts_s.append(server.start_s)
    return Found([Row("start: spawn → ready", "s", starts_s, (_START_GOAL,), digits=2)])


async def _queue(plan: Plan, tell: Tell) -> Found:
    tell(f"{plan.queue} callers in the queue")
    return Found(list(queue_rows(await queue_up(plan.queue, plan.queue_watched_s))))


async def _capacity(plan: Plan, tell: Tell) -> Found:
    trials = await measure(plan.capacity, tell)
    write_trials(plan.results.with_name("capacity.json"), trials, {"machine": machine()})
    return Found(list(capacity_rows(*split(trials))))


PARTS: dict[str, Part] = {
    "hand-off": _hand_off,
    "http": _http,
    "frames": _frames,
    "barge-in": _barge_in,
    "dialects": _dialects,
    "capacity": _capacity,
    "cost": _cost,
    "memory": _memory,
    "start": _start,
    "queue": _queue,
}
"""By the name that `--only` takes, in the order of the table."""
