"""From a WAV that is complete on disk to its chunk event at an HTTP client, with a bare relay beside it as the floor.

Turns of ours and of the relay follow each other, written by the same process in the same rhythm into the same file
system and read by the same client, so whatever else the machine does meets both.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.errors import BenchError
from bench.figures import Goal, Row, percentile
from bench.http_call import Event, HttpCall, HttpServers, read_event
from bench.http_client import HttpClient, Piece, connected
from bench.scripted_engine import Script
from duplex.engine.base import Mode

__all__ = ["WAVS_A_TURN", "HttpHandOffs", "delays_ms", "http_hand_offs", "rows"]

_GAP_S = (0.02, 0.06)
"""Around 25 WAVs a second. A whole turn stays below the 1.2 s after which a duplex session begins the next step."""
WAVS_A_TURN = 10


@dataclass(frozen=True, slots=True)
class HttpHandOffs:
    """Milliseconds, one value a WAV."""

    mode: Mode
    ours_ms: list[float]
    relay_ms: list[float]

    @property
    def ratio(self) -> float:
        """How our median compares with the floor's."""
        return percentile(self.ours_ms, 0.5) / percentile(self.relay_ms, 0.5)


async def http_hand_offs(servers: HttpServers, mode: Mode, turns: int) -> HttpHandOffs:
    """`turns` turns of ours and as many of the relay, and one more of each at the beginning that is not counted."""
    await servers.tell(Script(wavs=WAVS_A_TURN, gap_s=_GAP_S))
    ours: list[Event] = []
    relayed: list[Event] = []
    async with servers.call() as call, connected(servers.relay.port) as relay:
        await call.begin(mode)
        for number in range(turns + 1):
            said, passed_on = await _one_of_each(servers, call, relay, ours_first=number % 2 == 0)
            if number:
                ours += said
                relayed += passed_on
    closed_ns = (await servers.log()).closed_ns
    return HttpHandOffs(mode, delays_ms(ours, closed_ns), delays_ms(relayed, closed_ns))


async def _one_of_each(
    servers: HttpServers, call: HttpCall, relay: HttpClient, *, ours_first: bool
) -> tuple[list[Event], list[Event]]:
    passed_on: list[Event] = []
    if not ours_first:
        passed_on = await _relay_turn(servers, relay)
    await call.prefill()
    said = await _all(await call.generate())
    if not sum(event.is_done for event in said) == 1:
        raise BenchError("A stream had not exactly one event that says it is done.")
    if ours_first:
        passed_on = await _relay_turn(servers, relay)
    return _with_sound(said), _with_sound(passed_on)


async def _relay_turn(servers: HttpServers, relay: HttpClient) -> list[Event]:
    stream = await relay.open_stream("/stream")
    await servers.write_for_relay()
    return await _all(stream)


async def _all(stream: AsyncIterator[Piece]) -> list[Event]:
    # Understood only at the end: that takes as long as a chunk needs.
    return [read_event(piece) for piece in [piece async for piece in stream]]


def _with_sound(events: Sequence[Event]) -> list[Event]:
    heard = [event for event in events if event.pcm]
    if len(heard) != WAVS_A_TURN:
        raise BenchError(f"{WAVS_A_TURN} WAVs were written and {len(heard)} heard.")
    return heard


def delays_ms(heard: Sequence[Event], closed_ns: Mapping[int, int]) -> list[float]:
    """From the closing of each WAV to its arrival. Raises `BenchError` when one came twice or was never written."""
    values = [event.value for event in heard]
    if len(set(values)) != len(values) or not closed_ns.keys() >= set(values):
        raise BenchError("Sound came twice, or was never written.")
    return [1000 * event.at_s - closed_ns[event.value] / 1e6 for event in heard]


def rows(measured: Sequence[HttpHandOffs]) -> Iterator[Row]:
    """The lines of the table."""
    for one in measured:
        goals = (Goal(0.99, 8.0),)
        yield Row(f"HTTP: WAV complete → chunk, {one.mode}", "ms", one.ours_ms, goals, tail=0.99, digits=2)
        yield Row("  a bare relay in the same run", "ms", one.relay_ms, tail=0.99, digits=2)
        yield Row("  our median to the relay's", "ratio", [one.ratio], (Goal(0.5, 1.3),), digits=2)
