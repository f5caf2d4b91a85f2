"""From a WAV that is complete on disk to its chunk event at an HTTP client, and from the end of a turn to its done.

Turns of ours, of the bare relay and of the old server's way follow each other, written by the same process in the same
rhythm into the same file system and read by the same client.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from bench.beside import FLOOR_GOAL, OLD_GOALS, Compared, Heard, Turn
from bench.errors import BenchError
from bench.figures import Goal, Row
from bench.http_call import Event, HttpCall, http_call, read_event
from bench.http_client import HttpClient, Piece, connected
from bench.rig import Rig
from bench.scripted_engine import EngineLog, Script
from duplex.engine.base import Mode

__all__ = ["DONE_GOAL", "WAVS_A_TURN", "HttpHandOffs", "http_hand_offs", "rows"]

_GAP_S = (0.02, 0.06)
"""Around 25 WAVs a second. A whole turn stays below the 1.2 s after which a duplex session begins the next step."""
WAVS_A_TURN = 10
DONE_GOAL = Goal(0.99, 5.0)


@dataclass(frozen=True, slots=True)
class HttpHandOffs:
    """All turns in one mode, and what the engine says of them."""

    mode: Mode
    turns: Compared
    log: EngineLog


async def http_hand_offs(rig: Rig, mode: Mode, turns: int) -> HttpHandOffs:
    """`turns` turns of each, and one more of each at the beginning that is not counted."""
    await rig.tell(Script(wavs=WAVS_A_TURN, gap_s=_GAP_S))
    compared = Compared()
    async with http_call(rig) as call, connected(rig.relay.port) as relay:
        await call.begin(mode)
        for number in range(turns + 1):
            ours_first = number % 2 == 0
            ours = await _our_turn(call) if ours_first else None
            floor = await _relay_turn(rig, relay, "notified")
            old = await _relay_turn(rig, relay, str(mode))
            ours = ours or await _our_turn(call)
            if number:
                compared.ours.append(ours)
                compared.floor.append(floor)
                compared.old.append(old)
    return HttpHandOffs(mode, compared, await rig.log())


async def _our_turn(call: HttpCall) -> Turn:
    await call.prefill()
    said = await _all(await call.generate())
    if not sum(event.is_done for event in said) == 1:
        raise BenchError("A stream had not exactly one event that says it is done.")
    return _turn(said, next(event.at_s for event in said if event.is_done))


async def _relay_turn(rig: Rig, relay: HttpClient, way: str) -> Turn:
    stream = await relay.open_stream(f"/stream?way={way}")
    await rig.write_for_relay(way)
    events = await _all(stream)
    return _turn(events, events[-1].at_s)


async def _all(stream: AsyncIterator[Piece]) -> list[Event]:
    # Understood only at the end: that takes as long as a chunk needs.
    return [read_event(piece) for piece in [piece async for piece in stream]]


def _turn(events: Sequence[Event], over_s: float) -> Turn:
    heard = [Heard(event.value, event.at_s) for event in events if event.pcm]
    if len(heard) != WAVS_A_TURN:
        raise BenchError(f"{WAVS_A_TURN} WAVs were written and {len(heard)} heard.")
    return Turn(heard, over_s)


def rows(measured: Sequence[HttpHandOffs]) -> Iterator[Row]:
    """The lines of the table."""
    for one in measured:
        closed_ns, over_ns, turns = one.log.closed_ns, one.log.over_ns, one.turns
        ours, floor, old = (
            [ms for turn in some for ms in turn.delays_ms(closed_ns)] for some in (turns.ours, turns.floor, turns.old)
        )
        goals = (Goal(0.99, 8.0), FLOOR_GOAL, OLD_GOALS[str(one.mode)])
        what = f"HTTP: WAV → sound, {one.mode}"
        yield Row(what, "ms", ours, goals, tail=0.99, digits=2, floor=floor, old=old)
        ours, floor, old = (
            [ms for turn in some for ms in turn.over_ms(over_ns)] for some in (turns.ours, turns.floor, turns.old)
        )
        what = f"HTTP: end → done, {one.mode}"
        yield Row(what, "ms", ours, (DONE_GOAL,), tail=0.99, digits=2, floor=floor, old=old)
