"""What a long call leaves in the server's memory: an hour of sound in two minutes, and what is still there after it.

Nothing of the server waits for a clock here but its answers: the engine takes no time to think, and each second is sent
as soon as the one before was heard.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from bench.caller import Caller, calling
from bench.figures import Goal, Row
from bench.microphone import FRAME_SAMPLES
from bench.rig import Rig
from bench.rooms import as_pcm
from bench.scripted_engine import Script
from bench.speech import RATE_HZ, room_noise, synthetic_speech
from duplex.engine.base import Mode

__all__ = ["LongCall", "long_call", "rows", "slope_mb_per_hour"]

_LISTENS = Script(wavs=0, listens=True)
_ANSWERS = Script(wavs=1, wav_ms=300, gap_s=(0.0, 0.001))
_ROUND_S = 30
"""In each the user speaks for a second and is answered once."""
_SPEAKS_AT_S = 5
_BLOCK = 10
"""Rounds, of which the least counts: the allocator keeps a megabyte now and then and gives it back."""
_WARM_CALLS = 5
"""Before the one that is measured, each of two rounds: what is made once, and kept by the allocator, is there then."""
_WARM_ROUNDS = 2
_SETTLED_SHARE = 0.2
"""Of the call itself, before its growth counts."""
_NOISE_MB = 0.5
"""What the allocator does by itself: nothing left is as much as this."""
_LIMIT_S = 10.0
_SNR_DB = 25.0
_FRAME_BYTES = 2 * FRAME_SAMPLES


@dataclass(frozen=True, slots=True)
class LongCall:
    """Resident memory of the server, in MB."""

    before_mb: float
    """With no call, the most after one of several short ones."""
    during_mb: Sequence[float]
    """After each round of the call."""
    after_mb: float
    """When it has ended."""

    @property
    def hours(self) -> float:
        """Of sound."""
        return len(self.during_mb) * _ROUND_S / 3600


async def long_call(rig: Rig, hours: float) -> LongCall:
    """One call of so many hours of sound, in duplex."""
    before_mb = 0.0
    for _ in range(_WARM_CALLS):
        await _call(rig, _WARM_ROUNDS)
        # Of what a call had the allocator gives back 2 MB, or does not: it depends on what lies behind them.
        before_mb = max(before_mb, await _idle_mb(rig))
    during_mb = await _call(rig, round(3600 * hours / _ROUND_S))
    return LongCall(before_mb, during_mb, await _idle_mb(rig))


async def _call(rig: Rig, rounds: int) -> list[float]:
    noise, speech = _second(0.0), _second(1.0)
    found = []
    await rig.tell(_LISTENS)
    async with rig.server.one_call(), calling(rig.server.url(conversation=str(Mode.DUPLEX)), None) as caller:
        counted = _Counted(caller)
        for _ in range(rounds):
            for second in range(_ROUND_S - 1):
                await counted.hear(speech if second == _SPEAKS_AT_S else noise, "response.listen")
            await rig.tell(_ANSWERS)
            await counted.hear(noise, "response.done")
            await counted.acknowledge()
            await rig.tell(_LISTENS)
            found.append(rig.server.memory_mb())
    return found


class _Counted:
    """Sends a second and waits for what becomes of it."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._came: dict[str, int] = {}
        self._newest = 0
        caller.on_message = self._count

    async def hear(self, second: Sequence[bytes], then: str) -> None:
        before = self._came.get(then, 0)
        for frame in second:
            await self._caller.send(frame)
        await self._caller.until(partial(self._has_come, then, before), then, _LIMIT_S)

    async def acknowledge(self) -> None:
        """Say what has come, as our page does: the server keeps 4 MB for a client that may come back."""
        await self._caller.send({"type": "session.event_ack", "server_event_seq": self._newest})

    def _has_come(self, kind: str, before: int) -> bool:
        return self._came.get(kind, 0) > before

    def _count(self, message: dict[str, object] | bytes, at_s: float) -> None:
        del at_s
        if not isinstance(message, bytes):
            kind = str(message["type"])
            self._came[kind] = self._came.get(kind, 0) + 1
            self._newest = int(str(message.get("server_event_seq", self._newest)))


async def _idle_mb(rig: Rig) -> float:
    """Once the call has ended for the server too: the engine can be leased again."""
    async with rig.server.one_call():
        return rig.server.memory_mb()


def _second(speech: float) -> list[bytes]:
    """Of a room in which somebody speaks, or nobody: frames of 20 ms."""
    samples = room_noise(1.0, snr_db=_SNR_DB, seed=0)
    if speech:
        said = synthetic_speech(1.0, pitch_hz=130.0, seed=0)[: RATE_HZ // 2]
        samples[: len(said)] += said
    pcm = as_pcm(samples)
    return [pcm[at : at + _FRAME_BYTES] for at in range(0, len(pcm), _FRAME_BYTES)]


def slope_mb_per_hour(during_mb: Sequence[float], hours: float) -> float | None:
    """The growth of a straight line through the least of every five minutes after the first fifth; None where there are
    not two of them. `hours` is what all of it took."""
    settled = during_mb[int(len(during_mb) * _SETTLED_SHARE) :]
    least_mb = [min(settled[at : at + _BLOCK]) for at in range(0, len(settled) - _BLOCK + 1, _BLOCK)]
    if len(least_mb) < 2:
        return None
    at_hours = np.arange(len(least_mb)) * _BLOCK * hours / len(during_mb)
    return float(np.polyfit(at_hours, least_mb, 1)[0])


def rows(call: LongCall) -> Iterator[Row]:
    """The lines of the table."""
    facts = {"hours": call.hours, "during_mb": [round(mb, 2) for mb in call.during_mb]}
    growth = slope_mb_per_hour(call.during_mb, call.hours)
    if growth is not None:
        goals = (Goal(1.0, 2.0, strict=True),)
        yield Row("memory: growth in an hour of a call", "MB", [growth], goals, digits=2, facts=facts)
    yield Row("memory: left by that call", "MB", [call.after_mb - call.before_mb], (Goal(1.0, _NOISE_MB),), digits=2)
