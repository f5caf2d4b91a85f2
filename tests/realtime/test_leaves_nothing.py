"""A call that has ended is gone at once, with the minutes of sound it held: nobody has to come and collect it."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from duplex.session import DuplexSession
from realtime.seat import Seat
from tests.duplex.fake_engine import FakeEngine
from tests.realtime.server import peer, serving
from tests.realtime.test_endpoint import BINARY, Pool, app


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector")
async def test_nothing_of_a_call_waits_for_the_collector() -> None:
    pool, gone = Pool(FakeEngine()), asyncio.Queue[type]()
    async with serving(app(pool)) as address:
        async with peer(address, BINARY) as client:
            await client.until("session.created")
            held = [
                weakref.finalize(one, gone.put_nowait, type(one))
                for one in gc.get_objects()
                if isinstance(one, DuplexSession | Seat)
            ]
        async with asyncio.timeout(20.0):
            assert {await gone.get() for _ in held} == {DuplexSession, Seat}
