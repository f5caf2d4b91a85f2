import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from duplex.clock import MonotonicClock
from duplex.engine.base import EngineSession, Mode
from duplex.engine.host import EngineHost, EngineState
from duplex.engine.pool import EnginePool
from duplex.errors import EngineBusy, EngineNotReady, EngineStartFailed, ShuttingDown
from tests.duplex.engine.children import HEALTHY, LOADING_FOR_EVER, Workshop, scripted_spec


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


def host(client: httpx.AsyncClient, folder: Path, *, script: str = HEALTHY, port: int = 0) -> EngineHost:
    folder.mkdir(exist_ok=True)
    spec = scripted_spec(script, folder, port=port)
    return EngineHost(spec, make_engine=Workshop(), client=client, clock=MonotonicClock())


def children() -> int:
    return len([child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE])


async def test_every_engine_is_lent_once(client: httpx.AsyncClient, tmp_path: Path) -> None:
    pool = EnginePool([host(client, tmp_path / "a"), host(client, tmp_path / "b")])
    async with pool.running():
        await pool.wait_ready()
        async with pool.lease() as first, pool.lease() as second:
            assert first is not second
            await second.begin(EngineSession(mode=Mode.DUPLEX))
            with pytest.raises(EngineBusy):
                async with pool.lease():
                    pass
        async with pool.lease():
            assert [status.state for status in pool.status()] == [EngineState.LEASED, EngineState.READY]


async def test_who_calls_again_waits_for_the_end_of_the_last_answer(client: httpx.AsyncClient, tmp_path: Path) -> None:
    workshop = Workshop()
    (tmp_path / "a").mkdir()
    spec = scripted_spec(HEALTHY, tmp_path / "a")
    pool = EnginePool([EngineHost(spec, make_engine=workshop, client=client, clock=MonotonicClock())])

    async def call() -> None:
        async with pool.lease() as engine:
            await engine.begin(EngineSession(mode=Mode.DUPLEX))

    async with pool.running(), asyncio.TaskGroup() as tasks:
        await pool.wait_ready()
        (engine,) = workshop.engines
        engine.hang_in = "finish"
        first = tasks.create_task(call())
        await engine.hanging.wait()
        assert pool.status()[0].state is EngineState.FINISHING
        second = tasks.create_task(call())
        engine.go_on.set()
        await first
        await second


async def test_an_engine_that_works_is_preferred_to_one_that_loads(client: httpx.AsyncClient, tmp_path: Path) -> None:
    slow, quick = host(client, tmp_path / "a", script=LOADING_FOR_EVER), host(client, tmp_path / "b")
    pool = EnginePool([slow, quick])
    async with pool.running():
        await quick.wait_until(EngineState.READY)
        async with pool.lease():
            with pytest.raises(EngineBusy):
                async with pool.lease():
                    pass


async def test_what_is_not_ready_says_why(client: httpx.AsyncClient, tmp_path: Path) -> None:
    pool = EnginePool([host(client, tmp_path)])
    with pytest.raises(EngineNotReady, match="starting: not started yet"):
        async with pool.lease():
            pass
    async with pool.running():
        pass
    with pytest.raises(ShuttingDown):
        async with pool.lease():
            pass


async def test_a_pool_without_engines_refuses() -> None:
    with pytest.raises(ShuttingDown):
        async with EnginePool([]).lease():
            pass


async def test_children_end_with_the_pool(client: httpx.AsyncClient, tmp_path: Path) -> None:
    before = children()
    pool = EnginePool([host(client, tmp_path)])
    async with pool.running():
        await pool.wait_ready()
        assert children() == before + 1
    assert children() == before
    assert pool.status()[0].state is EngineState.STOPPED


async def test_children_end_when_the_server_is_cancelled(client: httpx.AsyncClient, tmp_path: Path) -> None:
    before = children()
    pool = EnginePool([host(client, tmp_path)])

    async def serve() -> None:
        async with pool.running():
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        server = group.create_task(serve())
        await pool.wait_ready()
        assert children() == before + 1
        server.cancel()
    assert children() == before


async def test_the_body_fails_with_its_own_error(client: httpx.AsyncClient, tmp_path: Path) -> None:
    before = children()
    pool = EnginePool([host(client, tmp_path)])

    async def fail() -> None:
        async with pool.running():
            await pool.wait_ready()
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await fail()
    assert children() == before


async def test_a_taken_port_is_refused_before_anything_starts(client: httpx.AsyncClient, tmp_path: Path) -> None:
    before = children()
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        pool = EnginePool([host(client, tmp_path / "a"), host(client, tmp_path / "b", port=port)])
        with pytest.raises(EngineStartFailed, match=f"Port {port}"):
            async with pool.running():
                pass
    assert children() == before
