"""What an HTTP caller waits for beside sound: the answer of a model that listens, and the end after a break."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.errors import BenchError
from bench.figures import Goal, Row
from bench.http_call import Event, HttpCall, http_call, read_event
from bench.http_client import connected
from bench.rig import Rig
from bench.scripted_engine import Decode, Script
from duplex.engine.base import Mode
from duplex.engine.limits import EngineLimits

__all__ = ["Broken", "Listened", "break_rows", "http_breaks", "http_listens", "listen_rows"]

_LISTENING = Script(wavs=0, listens=True, decode_s=0.04)
_TALKING = Script(wavs=60, gap_s=(0.004, 0.012), decode_s=0.2)
"""Faster than any engine, so that a chunk is on its way when the break comes; early breaks meet a decode that runs."""
_BREAK_AFTER_CHUNKS = (2, 25)
_BREAK_AFTER_S = (0.0, 0.012)
"""And then at any moment between two chunks."""
_SEED = 3


@dataclass(frozen=True, slots=True)
class Broken:
    """One answer that was broken off."""

    mode: Mode
    asked_s: float
    """Just before the connection for the break was opened."""
    answered_s: float
    events: Sequence[Event]

    @property
    def last_sound_ms(self) -> float:
        """From asking to the last sound; 0 when none came after it."""
        return max(0.0, 1000 * (max(event.at_s for event in self.events if event.pcm) - self.asked_s))

    @property
    def end_ms(self) -> float:
        """From asking to the end of the stream."""
        return 1000 * (self.events[-1].at_s - self.asked_s)

    @property
    def stale_bytes(self) -> int:
        """Sound that came after the break was answered."""
        return sum(len(event.pcm) for event in self.events if event.at_s > self.answered_s)


@dataclass(frozen=True, slots=True)
class Listened:
    """One second after which the model listens."""

    asked_s: float
    over_s: float
    """When the stream had ended."""
    decode: Decode

    @property
    def ours_ms(self) -> float:
        """What the caller waited for beside the engine: its decode, and the rest of the pause it needs before one."""
        rest_s = max(0.0, self.decode.heard_ns / 1e9 + EngineLimits().settle_ms / 1000 - self.asked_s)
        return self.beyond_decode_ms - 1000 * rest_s

    @property
    def beyond_decode_ms(self) -> float:
        """What the caller waited for beside the decode."""
        return 1000 * (self.over_s - self.asked_s) - (self.decode.over_ns - self.decode.began_ns) / 1e6


async def http_listens(rig: Rig, count: int) -> list[Listened]:
    """Duplex, a model that listens: `count` seconds, each asked about as soon as it was heard.

    One more comes first and is not counted.
    """
    await rig.tell(_LISTENING)
    asked = []
    async with http_call(rig) as call:
        await call.begin(Mode.DUPLEX)
        # Only now: the decode of an answer that was broken off runs on until its session has ended.
        known = len((await rig.log()).decodes)
        for _ in range(count + 1):
            await call.prefill()
            asked_s = time.monotonic()
            pieces = [piece async for piece in await call.generate()]
            asked.append((asked_s, pieces[-1].at_s))
    decodes = (await rig.log()).decodes[known:]
    if len(decodes) != len(asked):
        raise BenchError(f"{len(asked)} seconds were heard and {len(decodes)} thought about.")
    return [Listened(*times, decode) for times, decode in zip(asked, decodes, strict=True)][1:]


async def http_breaks(rig: Rig, mode: Mode, count: int) -> list[Broken]:
    """Break `count` answers off on the control port, each in a session of its own."""
    await rig.tell(_TALKING)
    random = np.random.default_rng(_SEED)
    async with http_call(rig) as call:
        return [
            await _break(rig, call, mode, int(random.integers(*_BREAK_AFTER_CHUNKS)), random.uniform(*_BREAK_AFTER_S))
            for _ in range(count)
        ]


async def _break(rig: Rig, call: HttpCall, mode: Mode, after_chunks: int, after_s: float) -> Broken:
    await call.begin(mode)
    await call.prefill()
    stream = await call.generate()
    heard = 0
    pieces = []
    broken: asyncio.Task[tuple[float, float]] | None = None
    async with asyncio.TaskGroup() as group:
        async for piece in stream:
            pieces.append(piece)
            heard += b"chunk_idx" in piece.content
            if heard == after_chunks and broken is None:
                broken = group.create_task(_post_break(rig.control_port, after_s))
    events = [read_event(piece) for piece in pieces]
    if broken is None or not any(event.is_break for event in events):
        raise BenchError("An answer ended before it was broken off.")
    asked_s, answered_s = broken.result()
    return Broken(mode, asked_s, answered_s, events)


async def _post_break(port: int, after_s: float) -> tuple[float, float]:
    """When the break was asked for and when it was answered."""
    await asyncio.sleep(after_s)
    asked_s = time.monotonic()
    async with connected(port) as control:
        answer = await control.post("/omni/break")
    return asked_s, answer.at_s


def listen_rows(listened: Sequence[Listened]) -> Iterator[Row]:
    """The lines of the table."""
    ours = [one.ours_ms for one in listened]
    yield Row("HTTP: a model that listens, beyond the engine", "ms", ours, (Goal(0.99, 10.0),), tail=0.99, digits=2)
    beyond = [one.beyond_decode_ms for one in listened]
    yield Row("  with the engine's pause before a decode", "ms", beyond, tail=0.99, digits=2)


def break_rows(broken: Sequence[Broken]) -> Iterator[Row]:
    """The lines of the table."""
    soon = (Goal(1.0, 20.0),)
    yield Row("HTTP: break → last sound", "ms", [one.last_sound_ms for one in broken], soon, digits=2)
    yield Row("HTTP: break → end of the stream", "ms", [one.end_ms for one in broken], soon, digits=2)
    stale = [float(one.stale_bytes) for one in broken]
    yield Row("HTTP: sound after the break was answered", "bytes", stale, (Goal(1.0, 0.0),), digits=0)
