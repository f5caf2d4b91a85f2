"""The pool with a queue, over slots that do what the test says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from duplex.engine.base import EngineSession, Mode
from duplex.engine.host import EngineState
from duplex.engine.lease import LeasedEngine
from duplex.engine.pool import EnginePool
from duplex.engine.queue import Place
from duplex.errors import EngineBusy, EngineNotReady, QueueFull, ShuttingDown
from tests.duplex.engine.fake_host import FakeHost, pool_of


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at


@dataclass
class Caller:
    """Waits, keeps what it gets until told to hang up, and remembers everything."""

    pool: EnginePool
    name: str
    log: list[str]
    wish: EngineSession | None = None
    place: Callable[[], Place] | None = None
    waits: asyncio.Event = field(default_factory=asyncio.Event)
    has_it: asyncio.Event = field(default_factory=asyncio.Event)
    hang_up: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None

    async def wait(self, place: Callable[[], Place]) -> None:
        self.place = place
        self.waits.set()
        await self.gone.wait()
        raise ConnectionResetError

    async def call(self) -> None:
        try:
            async with self.pool.lease(self.wish, meanwhile=self.wait) as engine:
                assert isinstance(engine, LeasedEngine)
                self.log.append(self.name)
                self.has_it.set()
                await self.hang_up.wait()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
            self.error = error


class Calls:
    def __init__(self, pool: EnginePool) -> None:
        self.pool = pool
        self.log: list[str] = []
        self.group = asyncio.TaskGroup()

    async def caller(self, name: str, *, has_it: bool = False, wish: EngineSession | None = None) -> Caller:
        caller = Caller(self.pool, name, self.log, wish)
        self.group.create_task(caller.call())
        await (caller.has_it if has_it else caller.waits).wait()
        return caller


@contextlib.asynccontextmanager
async def calls(pool: EnginePool) -> AsyncIterator[Calls]:
    made = Calls(pool)
    async with asyncio.timeout(10), made.group:
        yield made


async def test_a_thousand_are_served_in_order_by_three_engines() -> None:
    pool = pool_of(FakeHost(), FakeHost(), FakeHost(), queue_limit=1000)
    async with calls(pool) as made:
        callers = [await made.caller(str(n), has_it=True) for n in range(3)]
        callers += [await made.caller(str(n)) for n in range(3, 1003)]
        assert pool.queue_length == 1000
        for number, caller in enumerate(callers):
            await caller.has_it.wait()
            caller.hang_up.set()
            if number % 100 == 99:
                assert pool.queue_length <= 1000 - number + 3
    assert made.log == [str(n) for n in range(1003)]
    assert pool.can_lease


async def test_places_move_up_and_the_wait_is_estimated_from_what_was_measured() -> None:
    clock = Clock()
    pool = pool_of(FakeHost(), queue_limit=5, clock=clock)
    async with calls(pool) as made:
        first = await made.caller("first", has_it=True)
        second, third, fourth = [await made.caller(name) for name in ("second", "third", "fourth")]
        assert second.place is not None
        assert third.place is not None
        assert fourth.place is not None
        assert third.place() == Place(2, 3, None), "no call has ended yet: nobody knows"
        clock.at = 100.0
        first.hang_up.set()
        await second.has_it.wait()
        clock.at = 130.0
        assert third.place() == Place(1, 2, 70.0)
        assert fourth.place() == Place(2, 2, 170.0)
        third.gone.set()
        await asyncio.sleep(0)
        while third.error is None:  # noqa: ASYNC110 - it ends by itself within a few turns of the loop
            await asyncio.sleep(0)
        assert isinstance(third.error, ConnectionResetError)
        assert fourth.place() == Place(1, 1, 70.0), "a place that is given up is given up at once"
        second.hang_up.set()
        fourth.hang_up.set()
    assert made.log == ["first", "second", "fourth"]


async def test_the_queue_has_a_bound_and_says_when_to_come_back() -> None:
    clock = Clock()
    pool = pool_of(FakeHost(), queue_limit=1, clock=clock)
    async with calls(pool) as made:
        first = await made.caller("first", has_it=True)
        clock.at = 60.0
        first.hang_up.set()
    async with calls(pool) as made:
        second = await made.caller("second", has_it=True)
        clock.at = 70.0
        third = await made.caller("third")
        with pytest.raises(QueueFull) as refused:
            async with pool.lease(meanwhile=second.wait):
                pass
        assert refused.value.retry_after_s == 50.0
        assert isinstance(await pool.refusal(waits=True), QueueFull)
        second.hang_up.set()
        third.hang_up.set()
    assert await pool.refusal(waits=True) is None


async def test_nobody_overtakes_those_who_wait() -> None:
    host = FakeHost()
    pool = pool_of(host, queue_limit=5)
    async with calls(pool) as made:
        first = await made.caller("first", has_it=True)
        second = await made.caller("second")
        assert not pool.can_lease
        with pytest.raises(EngineBusy):
            async with pool.lease():
                pass
        first.hang_up.set()
        await second.has_it.wait()
        second.hang_up.set()
    assert pool.can_lease


async def test_a_turn_that_comes_to_somebody_who_has_just_gone_goes_to_the_next() -> None:
    host = FakeHost(EngineState.STARTING)
    pool = pool_of(host, queue_limit=5)
    async with calls(pool) as made:
        first, second = await made.caller("first"), await made.caller("second")
        first.gone.set()
        host.become(EngineState.READY)  # promised to the first, which ends in the same turn of the loop
        await second.has_it.wait()
        second.hang_up.set()
    assert made.log in (["second"], ["first", "second"])
    assert pool.can_lease, "no promise is left"


async def test_who_waits_for_an_engine_that_loads_gets_it_and_who_waits_for_one_that_failed_is_told() -> None:
    host = FakeHost(EngineState.STARTING)
    pool = pool_of(host, queue_limit=5)
    async with calls(pool) as made:
        first, second = await made.caller("first"), await made.caller("second")
        assert second.place is not None
        assert second.place() == Place(2, 2, None)
        host.become(EngineState.READY)
        await first.has_it.wait()
        host.after_lease = EngineState.RESTARTING
        first.hang_up.set()
        await host.wait_while(EngineState.LEASED)
        host.become(EngineState.FAILED)
    assert isinstance(second.error, EngineNotReady)
    assert isinstance(await pool.refusal(waits=True), EngineNotReady)


async def test_an_engine_that_fails_between_the_turn_and_the_lease_costs_no_place() -> None:
    host = FakeHost(EngineState.STARTING)
    pool = pool_of(host, queue_limit=5)
    async with calls(pool) as made:
        first, second = await made.caller("first"), await made.caller("second")
        host.become(EngineState.READY)
        host.become(EngineState.RESTARTING)
        first.waits.clear()
        await first.waits.wait()
        assert first.place is not None
        assert first.place().position == 1
        host.become(EngineState.READY)
        await first.has_it.wait()
        first.hang_up.set()
        second.hang_up.set()
    assert made.log == ["first", "second"]


async def test_a_server_that_ends_lets_nobody_wait() -> None:
    pool = pool_of(FakeHost(), queue_limit=5)
    async with calls(pool) as made:
        first = await made.caller("first", has_it=True)
        second = await made.caller("second")
        pool.close()
        first.hang_up.set()
    assert isinstance(second.error, ShuttingDown)
    assert isinstance(await pool.refusal(waits=True), ShuttingDown)


@pytest.mark.parametrize(
    ("states", "limit", "refusal"),
    [
        ([EngineState.READY], 0, None),
        ([EngineState.LEASED], 1, None),
        ([EngineState.LEASED], 0, EngineBusy),
        ([EngineState.FINISHING], 0, None),
        ([EngineState.STARTING], 1, EngineNotReady),
        ([EngineState.RESTARTING], 1, EngineNotReady),
        ([EngineState.FAILED], 1, EngineNotReady),
        ([EngineState.FAILED, EngineState.LEASED], 1, None),
        ([EngineState.FAILED, EngineState.READY], 1, None),
    ],
)
async def test_a_newcomer_is_welcome_where_an_engine_works_and_there_is_room(
    states: list[EngineState], limit: int, refusal: type[Exception] | None
) -> None:
    pool = pool_of(*map(FakeHost, states), queue_limit=limit)
    assert isinstance(pool.unreadiness(), refusal or type(None))
    pool.close()
    assert isinstance(pool.unreadiness(), ShuttingDown)


async def test_a_newcomer_is_not_welcome_when_the_queue_is_full() -> None:
    pool = pool_of(FakeHost(), queue_limit=1)
    async with calls(pool) as made:
        first = await made.caller("first", has_it=True)
        assert pool.unreadiness() is None
        second = await made.caller("second")
        assert isinstance(pool.unreadiness(), QueueFull)
        first.hang_up.set()
        await second.has_it.wait()
        assert pool.unreadiness() is None
        second.hang_up.set()


DUPLEX, SIMPLEX = EngineSession(Mode.DUPLEX), EngineSession(Mode.SIMPLEX)


async def test_who_comes_gets_the_engine_that_is_nearest_to_his_conversation() -> None:
    cold, warm = FakeHost(), FakeHost()
    warm.warm = SIMPLEX
    pool = pool_of(cold, warm, queue_limit=5)
    async with pool.lease(SIMPLEX), pool.lease(SIMPLEX):
        assert (cold.state, warm.state) == (EngineState.LEASED, EngineState.LEASED), "any is better than none"
    async with pool.lease(SIMPLEX):
        assert warm.state is EngineState.LEASED
    async with pool.lease(DUPLEX):
        assert cold.state is EngineState.LEASED


async def test_the_first_in_the_queue_chooses_and_nobody_waits_for_a_better_engine() -> None:
    cold, warm = FakeHost(EngineState.STARTING), FakeHost(EngineState.STARTING)
    warm.warm = SIMPLEX
    pool = pool_of(cold, warm, queue_limit=5)
    async with calls(pool) as made:
        first, second = await made.caller("first", wish=SIMPLEX), await made.caller("second", wish=SIMPLEX)
        warm.become(EngineState.READY)
        await first.has_it.wait()
        cold.become(EngineState.READY)
        await second.has_it.wait()
        assert (cold.state, warm.state) == (EngineState.LEASED, EngineState.LEASED)
        first.hang_up.set()
        second.hang_up.set()


async def test_without_a_queue_nobody_waits() -> None:
    pool = pool_of(FakeHost())
    async with calls(pool) as made:
        first = await made.caller("first", has_it=True)
        with pytest.raises(EngineBusy):
            async with pool.lease(meanwhile=first.wait):
                pass
        assert await pool.refusal(waits=True) is None, "it is told when it has been accepted"
        first.hang_up.set()
