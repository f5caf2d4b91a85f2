"""A call that has ended is gone at once, with the minutes of sound it held: nobody has to come and collect it."""

import asyncio
import gc
import logging
import weakref
from collections.abc import Awaitable, Callable, Iterator
from unittest import mock

import pytest
from starlette.websockets import WebSocketDisconnect

from duplex.conversation import Conversation
from duplex.errors import EngineExited
from duplex.feed import EngineFeed
from duplex.outbox import Outbox
from duplex.resample import StreamResampler
from duplex.session import DuplexSession
from realtime.dialects.choice import LIVE_PATH
from realtime.dialects.live import LiveDialect
from realtime.dialects.minicpmo import MiniCPMODialect
from realtime.dialects.openai import OpenAIDialect
from realtime.seat import Seat
from tests.duplex.fake_engine import FakeEngine, answer
from tests.realtime.server import Peer, peer, serving
from tests.realtime.test_endpoint import BINARY, Pool, app, ask
from tests.realtime.test_queueing import LIVE_START

_OF_A_CALL = (
    Conversation,
    DuplexSession,
    EngineFeed,
    LiveDialect,
    MiniCPMODialect,
    OpenAIDialect,
    Outbox,
    Seat,
    StreamResampler,
)

End = Callable[[Peer, Pool], Awaitable[None]]


@pytest.fixture
def without_records() -> Iterator[None]:
    """pytest keeps every record, and a record the error that it tells of."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


async def hangs_up(client: Peer, pool: Pool) -> None:
    del pool
    await client.connection.close()


async def vanishes(client: Peer, pool: Pool) -> None:
    del pool
    client.connection.transport.abort()


async def vanishes_while_it_is_answered(client: Peer, pool: Pool) -> None:
    pool.engine.script.append(answer("A long one.", 20.0))
    await ask(client)
    await client.wait(lambda: bool(client.sound))
    client.connection.transport.abort()


async def cannot_be_sent_to(client: Peer, pool: Pool) -> None:
    pool.engine.script.append(answer("A long one.", 20.0))

    async def fails(*_: object) -> None:
        raise WebSocketDisconnect(1006)

    with mock.patch("realtime.seat.send", fails):
        await ask(client)
        await client.closed()


async def loses_its_engine(client: Peer, pool: Pool) -> None:
    pool.engine.emit(EngineExited("The engine was killed by SIGKILL."))
    assert await client.closed() == 1011


async def loses_its_engine_while_it_is_answered(client: Peer, pool: Pool) -> None:
    pool.engine.script.append(answer("A long one.", 20.0)[:-1])
    await ask(client)
    await client.wait(lambda: bool(client.sound))
    pool.engine.emit(EngineExited("The engine was killed by SIGKILL."))
    assert await client.closed() == 1011


async def gets_another_engine_and_hangs_up(client: Peer, pool: Pool) -> None:
    pool.fresh = FakeEngine()
    pool.engine.emit(EngineExited("The engine was killed by SIGKILL."))
    await client.until("session.warning")
    await client.connection.close()


def held() -> list[object]:
    return [one for one in gc.get_objects() if isinstance(one, _OF_A_CALL)]


def watched(gone: "asyncio.Queue[type]", others: list[object]) -> list[type]:
    """All that a call holds, each of which says on `gone` when it goes; `others` were there before, of other tests."""
    known = set(map(id, others))
    mine = [one for one in held() if id(one) not in known]
    for one in mine:
        weakref.finalize(one, gone.put_nowait, type(one))
    return [type(one) for one in mine]


@pytest.mark.usefixtures("without_collector", "without_records")
@pytest.mark.parametrize(
    "end",
    [
        hangs_up,
        vanishes,
        vanishes_while_it_is_answered,
        cannot_be_sent_to,
        loses_its_engine,
        loses_its_engine_while_it_is_answered,
        gets_another_engine_and_hangs_up,
    ],
)
async def test_nothing_of_a_call_waits_for_the_collector(end: End) -> None:
    pool, gone, others = Pool(FakeEngine()), asyncio.Queue[type](), held()
    async with serving(app(pool)) as address:
        async with peer(address, BINARY) as client:
            await client.until("session.created")
            kinds = watched(gone, others)
            await end(client, pool)
        await _until_gone(kinds, gone)


@pytest.mark.usefixtures("without_collector", "without_records")
@pytest.mark.parametrize(
    ("path", "query", "first", "begun"),
    [
        ("/v1/realtime", "", {"type": "input_audio_buffer.clear"}, "session.created"),
        (LIVE_PATH, "", LIVE_START, "session.started"),
        ("/v1/realtime", "?mode=audio", {"type": "session.update", "session": {}}, "session.created"),
    ],
)
async def test_in_no_protocol(path: str, query: str, first: dict[str, object], begun: str) -> None:
    pool, gone, others = Pool(FakeEngine()), asyncio.Queue[type](), held()
    async with serving(app(pool)) as address:
        async with peer(address, query, path=path) as client:
            await client.send(first)
            await client.until(begun)
            kinds = watched(gone, others)
        await _until_gone(kinds, gone)


async def _until_gone(kinds: list[type], gone: "asyncio.Queue[type]") -> None:
    assert {DuplexSession, Seat} <= set(kinds)
    left = list(kinds)
    try:
        async with asyncio.timeout(20.0):
            while left:
                left.remove(await gone.get())
    except TimeoutError:
        pytest.fail(f"these wait for the collector: {sorted(kind.__name__ for kind in left)} of {len(kinds)}")
