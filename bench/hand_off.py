"""The engine's audio on its way out of a WebSocket, in every dialect: from a WAV that is complete on disk to its first
bytes at the client, and from the end of a turn to the word of it.

A turn has one WAV, short enough to leave at once: what is longer is held back on purpose, to leave in real time.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.beside import FLOOR_GOAL, OLD_GOALS, Compared, Heard, Turn
from bench.errors import BenchError
from bench.figures import Goal, Row
from bench.http_hand_off import DONE_GOAL
from bench.rig import Rig
from bench.scripted_engine import EngineLog, Script
from bench.spoken import address, begin, headers, silence, understood
from duplex.engine.base import Mode
from duplex.engine.ports import LOOPBACK

__all__ = ["WS_DIALECTS", "WsHandOffs", "hand_offs", "rows"]

WS_DIALECTS = ("binary", "openai", "openai-beta", "live", "minicpmo")

_SCRIPT = Script(wavs=1, wav_ms=300)
"""Longer than the 160 ms at the head of an answer that the vocoder repeats and ours cuts off; what is left is below the
250 ms by which sound may leave ahead."""
_FLOOR, _OLD = "notified", str(Mode.DUPLEX)
"""The relay's ways."""
_LIMIT_S = 10.0
_OLD_EVERY = 3
"""Turns of ours for one of the old way, which is slow and far from anything."""
_PLAYED_AFTER_S = 0.15
"""No answer is asked for while the last one still plays."""
_CLOCKED = "live"
"""Sound of this protocol leaves on a beat of 40 ms, in ours as in the relay."""
_FIRST_S = 1.1
"""A resampler on the way keeps a little of what it hears first."""
_TURN_OVER_AFTER_S = 0.1
"""In a protocol that has no turns: the engine's turn is over, and nothing of it is on its way."""


@dataclass(frozen=True, slots=True)
class WsHandOffs:
    """All turns in one dialect."""

    dialect: str
    turns: Compared


class _Ear:
    """One connection, and what came over it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.has_begun = False
        self.heard: list[Heard] = []
        self.over_s: list[float] = []
        self._changed = asyncio.Event()

    async def listen(self) -> None:
        """Take every message with the time of its arrival, until the connection ends."""
        async for message in self.socket:
            now_s = time.monotonic()
            said = understood(message)
            self.has_begun |= said.has_begun
            if said.value and (not self.heard or self.heard[-1].value != said.value):
                self.heard.append(Heard(said.value, now_s))
            if said.is_over:
                self.over_s.append(now_s)
            self._changed.set()
        raise BenchError(f"The server ended the call: {self.socket.close_code} {self.socket.close_reason}")

    async def until(self, happened: Callable[[], bool], what: str) -> None:
        """Raises `BenchError` when it does not happen in time."""
        try:
            async with asyncio.timeout(_LIMIT_S):
                while not happened():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise BenchError(f"No {what} within {_LIMIT_S:.0f} s.") from None

    async def turn(self, asking: Awaitable[None], *, says_over: bool) -> Turn:
        """One answer, asked for by `asking`."""
        turns = len(self.heard)
        await asking
        await self.until(lambda: len(self.heard) > turns, "sound of an answer")
        if says_over:
            await self.until(lambda: len(self.over_s) > turns, "end of an answer")
        else:
            await asyncio.sleep(_TURN_OVER_AFTER_S)
        return Turn(self.heard[turns:], self.over_s[turns] if says_over else None)


async def hand_offs(rig: Rig, dialect: str, turns: int) -> WsHandOffs:
    """`turns` turns of ours and of the floor and a third as many of the old way. The first turn of ours, which makes
    what the others find made, comes before them and is not counted."""
    await rig.tell(_SCRIPT)
    compared = Compared()
    relayed = f"/stream?words={'openai' if dialect.startswith('openai') else dialect}"
    async with (
        rig.server.one_call(),
        _calling(rig.server.port, address(dialect), dialect) as ear,
        # Both go on looking at their own pace from turn to turn: nothing is in step with what is written.
        _calling(rig.relay.port, f"{relayed}&way={_FLOOR}") as floor,
        _calling(rig.relay.port, f"{relayed}&way={_OLD}") as old,
    ):
        await _our_turn(ear, dialect, _FIRST_S)
        for number in range(turns):
            await asyncio.sleep(_PLAYED_AFTER_S)
            compared.ours.append(await _our_turn(ear, dialect))
            compared.floor.append(await floor.turn(rig.write_for_relay(_FLOOR), says_over=dialect != _CLOCKED))
            if number % _OLD_EVERY == 0:
                compared.old.append(await old.turn(rig.write_for_relay(_OLD), says_over=dialect != _CLOCKED))
    return WsHandOffs(dialect, compared)


async def _our_turn(ear: _Ear, dialect: str, heard_s: float = 1.0) -> Turn:
    # The model thinks about each second that it has heard.
    return await ear.turn(ear.socket.send(silence(dialect, heard_s)), says_over=dialect != _CLOCKED)


@contextlib.asynccontextmanager
async def _calling(port: int, path: str, dialect: str | None = None) -> AsyncIterator[_Ear]:
    """A call that has begun, in `dialect` where the server knows such things. Raises `BenchError` when it breaks."""
    url, said_first = f"ws://{LOOPBACK}:{port}{path}", begin(dialect) if dialect else []
    try:
        async with (
            connect(
                url,
                additional_headers=headers(dialect) if dialect else {},
                compression=None,
                proxy=None,
                max_size=None,
            ) as socket,
            asyncio.TaskGroup() as group,
        ):
            ear = _Ear(socket)
            listening = group.create_task(ear.listen(), name="listen")
            for message in said_first:
                await socket.send(message)
            await ear.until(lambda: ear.has_begun, "beginning of a call")
            yield ear
            listening.cancel()
    except* BenchError as group_error:
        raise group_error.exceptions[0] from None
    except* (OSError, ConnectionClosed) as group_error:
        raise BenchError(f"The connection to {url} broke: {group_error.exceptions[0]}") from None


def rows(measured: Sequence[WsHandOffs], log: EngineLog) -> Iterator[Row]:
    """The lines of the table."""
    for one in measured:
        ours, floor, old = (
            [ms for turn in some for ms in turn.delays_ms(log.closed_ns)]
            for some in (one.turns.ours, one.turns.floor, one.turns.old)
        )
        # Up to 40 ms are the protocol's own: neither the old way nor a bound can be held against them.
        goals = (FLOOR_GOAL,) if one.dialect == _CLOCKED else (Goal(0.99, 8.0), FLOOR_GOAL, OLD_GOALS["duplex"])
        what = f"WebSocket: WAV → sound, {one.dialect}"
        yield Row(what, "ms", ours, goals, tail=0.99, digits=2, floor=floor, old=old)
    for one in measured:
        ours, floor, old = (
            [ms for turn in some for ms in turn.over_ms(log.over_ns)]
            for some in (one.turns.ours, one.turns.floor, one.turns.old)
        )
        if ours:
            what = f"WebSocket: end → done, {one.dialect}"
            yield Row(what, "ms", ours, (DONE_GOAL,), tail=0.99, digits=2, floor=floor, old=old)
