import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from duplex.clock import Clock, MonotonicClock
from duplex.engine.base import EngineSession, Mode
from duplex.engine.host import EngineHost, EngineState, HostLimits
from duplex.engine.restart import RestartLimits
from duplex.engine.spec import EngineSpec
from duplex.errors import (
    EngineBusy,
    EngineExited,
    EngineNotReady,
    EngineRefused,
    EngineStalled,
    EngineStartFailed,
    ShuttingDown,
)
from tests.duplex.engine.children import (
    EXITS_WHILE_LOADING,
    HEALTHY,
    LOADING_FOR_EVER,
    HandClock,
    ObedientEngine,
    Workshop,
    scripted_spec,
)

UP = (EngineState.READY, EngineState.FAILED)


class Slot:
    """A running `EngineHost`, its engines, and the waits it asked for."""

    def __init__(
        self,
        spec: EngineSpec,
        client: httpx.AsyncClient,
        *,
        prepare: Callable[[ObedientEngine, int], None] | None = None,
        limits: HostLimits | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.client = client
        self.workshop = Workshop(prepare)
        self.delays: list[float] = []
        self.host = EngineHost(
            spec,
            make_engine=self.workshop,
            client=client,
            clock=clock or MonotonicClock(),
            limits=limits,
            sleep=self._sleep,
        )

    @property
    def engine(self) -> ObedientEngine:
        return self.workshop.engines[-1]

    def state(self) -> EngineState:
        return self.host.status.state

    async def _sleep(self, delay_s: float) -> None:
        self.delays.append(delay_s)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Slot"]:
        async with asyncio.TaskGroup() as group:
            supervisor = group.create_task(self.host.run())
            yield self
            supervisor.cancel()

    async def kill_engine(self) -> None:
        with contextlib.suppress(httpx.HTTPError):
            await self.client.get(f"{self.engine.base_url}/die")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.fixture
def spec(tmp_path: Path) -> EngineSpec:
    return scripted_spec(HEALTHY, tmp_path)


async def test_it_initialises_the_default_mode_before_it_is_ready(client: httpx.AsyncClient, spec: EngineSpec) -> None:
    async with Slot(spec, client).running() as slot:
        assert slot.state() is EngineState.STARTING
        status = await slot.host.wait_until(*UP)
        assert status.state is EngineState.READY
        assert slot.engine.calls == ["begin", "finish"]
        assert slot.engine.sessions == [EngineSession(mode=Mode.SIMPLEX)]
    assert slot.state() is EngineState.STOPPED


async def test_one_lease_at_a_time(client: httpx.AsyncClient, spec: EngineSpec) -> None:
    async with Slot(spec, client).running() as slot:
        await slot.host.wait_until(*UP)
        async with slot.host.lease() as engine:
            await engine.begin(EngineSession(mode=Mode.DUPLEX))
            assert slot.state() is EngineState.LEASED
            with pytest.raises(EngineBusy):
                async with slot.host.lease():
                    pass
        assert slot.state() is EngineState.READY
        async with slot.host.lease():
            pass
    assert slot.engine.calls == ["begin", "finish", "begin", "finish"]
    assert slot.delays == []


async def test_a_lease_that_is_over_is_of_no_use(client: httpx.AsyncClient, spec: EngineSpec) -> None:
    async with Slot(spec, client).running() as slot:
        await slot.host.wait_until(*UP)
        async with slot.host.lease() as engine:
            pass
        with pytest.raises(RuntimeError, match="lease"):
            await engine.decode()


async def test_nothing_is_lent_before_it_is_ready(client: httpx.AsyncClient, tmp_path: Path) -> None:
    clock = HandClock()
    async with Slot(scripted_spec(LOADING_FOR_EVER, tmp_path), client, clock=clock).running() as slot:
        clock.step_s = 11.0
        while "still loading" not in slot.host.status.detail:
            await slot.host._changed.wait()
        with pytest.raises(EngineNotReady, match=r"starting: still loading, \d+ s"):
            async with slot.host.lease():
                pass


async def test_it_is_started_again_when_it_dies_while_ready(
    client: httpx.AsyncClient, spec: EngineSpec, caplog: pytest.LogCaptureFixture
) -> None:
    async with Slot(spec, client).running() as slot:
        await slot.host.wait_until(*UP)
        await slot.kill_engine()
        await slot.host.wait_until(EngineState.RESTARTING)
        await slot.host.wait_until(*UP)
        assert len(slot.workshop.engines) == 2
        async with slot.host.lease() as engine:
            await engine.begin(EngineSession(mode=Mode.SIMPLEX))
    assert slot.delays == [0.5]
    assert "exited with code 7" in caplog.text


async def test_a_conversation_is_told_at_once_that_its_engine_died(client: httpx.AsyncClient, spec: EngineSpec) -> None:
    """Between calls only the host can know: no file and no answer shows it."""
    async with Slot(spec, client).running() as slot:
        await slot.host.wait_until(*UP)
        async with slot.host.lease():
            engine = slot.engine
            await slot.kill_engine()
            failure = await engine.failure
        assert isinstance(failure, EngineExited)
        assert "exited" in str(failure)


async def test_it_fails_for_good_when_the_budget_is_spent(client: httpx.AsyncClient, tmp_path: Path) -> None:
    limits = HostLimits(restart=RestartLimits(max_per_hour=2))
    slot = Slot(scripted_spec(EXITS_WHILE_LOADING, tmp_path), client, limits=limits)
    await slot.host.run()
    assert slot.state() is EngineState.FAILED
    assert "cannot load the model" in slot.host.status.detail
    assert slot.delays == [0.5, 1.0]
    with pytest.raises(EngineNotReady, match="stays down"):
        async with slot.host.lease():
            pass


@pytest.mark.parametrize("swallowed", [True, False])
async def test_an_engine_error_in_a_lease_means_a_new_process_after_it(
    client: httpx.AsyncClient, spec: EngineSpec, *, swallowed: bool
) -> None:
    async with Slot(spec, client).running() as slot:
        await slot.host.wait_until(*UP)
        with contextlib.ExitStack() as outer:
            if not swallowed:
                outer.enter_context(pytest.raises(EngineStalled))
            async with slot.host.lease() as engine:
                await engine.begin(EngineSession(mode=Mode.SIMPLEX))
                slot.engine.fail_with["decode"] = EngineStalled("no sign of life")
                with contextlib.ExitStack() as inner:
                    if swallowed:
                        inner.enter_context(pytest.raises(EngineStalled))
                    await engine.decode()
                assert slot.state() is EngineState.LEASED
        assert slot.state() is EngineState.RESTARTING
        await slot.host.wait_until(*UP)
        first, second = slot.workshop.engines
        assert first.base_url != second.base_url
        assert slot.workshop.ended == [first], "with the connections to its process"
        assert slot.state() is EngineState.READY


async def test_an_error_in_the_events_is_noticed(client: httpx.AsyncClient, spec: EngineSpec) -> None:
    async with Slot(spec, client).running() as slot:
        await slot.host.wait_until(*UP)
        slot.engine.fail_with["events"] = EngineExited("gone")
        async with slot.host.lease() as engine:
            with pytest.raises(EngineExited):
                await anext(engine.events())
        assert slot.state() is EngineState.RESTARTING


async def test_an_engine_that_cannot_finish_is_replaced(client: httpx.AsyncClient, spec: EngineSpec) -> None:
    async with Slot(spec, client, limits=HostLimits(release_s=0.01)).running() as slot:
        await slot.host.wait_until(*UP)
        async with slot.host.lease() as engine:
            await engine.begin(EngineSession(mode=Mode.SIMPLEX))
            slot.engine.hang_in = "finish"
        assert slot.state() is EngineState.RESTARTING
        await slot.host.wait_until(*UP)
        assert len(slot.workshop.engines) == 2


async def test_the_next_start_waits_for_the_lease_to_end(client: httpx.AsyncClient, spec: EngineSpec) -> None:
    async with Slot(spec, client).running() as slot:
        await slot.host.wait_until(*UP)
        async with slot.host.lease() as engine:
            await engine.begin(EngineSession(mode=Mode.SIMPLEX))
            await slot.kill_engine()
            await slot.host.wait_until(EngineState.RESTARTING)
            with pytest.raises(EngineNotReady, match="exited with code 7"):
                async with slot.host.lease():
                    pass
            assert slot.delays == []
        await slot.host.wait_until(*UP)
    assert slot.delays == [0.5]


async def test_a_refused_initialisation_means_a_new_process(client: httpx.AsyncClient, spec: EngineSpec) -> None:
    def poisoned_at_first(engine: ObedientEngine, number: int) -> None:
        if number == 0:
            engine.fail_with["begin"] = EngineRefused("omni_init failed")

    async with Slot(spec, client, prepare=poisoned_at_first).running() as slot:
        assert (await slot.host.wait_until(*UP)).state is EngineState.READY
        assert [engine.calls for engine in slot.workshop.engines] == [["begin"], ["begin", "finish"]]
        assert slot.workshop.engines[0].base_url != slot.workshop.engines[1].base_url


async def test_a_cancelled_conversation_gives_the_engine_back(client: httpx.AsyncClient, spec: EngineSpec) -> None:
    async with Slot(spec, client).running() as slot:
        await slot.host.wait_until(*UP)

        async def converse() -> None:
            async with slot.host.lease() as engine:
                await engine.begin(EngineSession(mode=Mode.SIMPLEX))
                slot.engine.hang_in = "decode"
                await engine.decode()

        async with asyncio.TaskGroup() as group:
            conversation = group.create_task(converse())
            await slot.engine.hanging.wait()
            conversation.cancel()
        assert slot.state() is EngineState.READY
        assert slot.engine.calls[-1] == "finish"


async def test_its_directories_are_private_and_removed(client: httpx.AsyncClient, spec: EngineSpec) -> None:
    slot = Slot(spec, client)
    async with slot.running():
        await slot.host.wait_until(*UP)
        seen = [slot.workshop.dirs[0].output_dir, slot.workshop.dirs[0].input_dir]
        assert all(path.is_dir() for path in seen)
        assert seen[0].parent.stat().st_mode & 0o777 == 0o700
    assert not any(path.parent.exists() for path in seen)


async def test_directories_that_cannot_be_made_fail_with_the_reason(
    client: httpx.AsyncClient, spec: EngineSpec, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    slot = Slot(dataclasses.replace(spec, output_dir=tmp_path / "file"), client)
    await slot.host.run()
    assert slot.state() is EngineState.FAILED
    assert "directories cannot be made" in slot.host.status.detail


async def test_preflight_refuses_a_taken_port(client: httpx.AsyncClient, tmp_path: Path) -> None:
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        slot = Slot(scripted_spec(HEALTHY, tmp_path, port=port), client)
        with pytest.raises(EngineStartFailed, match=str(port)):
            await slot.host.preflight()


async def test_an_adopted_engine_is_used_and_never_ended(
    client: httpx.AsyncClient, spec: EngineSpec, tmp_path: Path
) -> None:
    async with Slot(spec, client).running() as owner:
        await owner.host.wait_until(*UP)
        adopted = dataclasses.replace(spec, url=owner.engine.base_url, output_dir=tmp_path / "shared")
        async with Slot(adopted, client).running() as slot:
            assert (await slot.host.wait_until(*UP)).state is EngineState.READY
            async with slot.host.lease() as engine:
                await engine.begin(EngineSession(mode=Mode.SIMPLEX))
        assert owner.state() is EngineState.READY
        assert list((tmp_path / "shared").iterdir()) == []
        assert owner.workshop.engines[0].calls == ["begin", "finish"]


async def test_an_adopted_engine_that_vanished_is_waited_for(client: httpx.AsyncClient, spec: EngineSpec) -> None:
    async with Slot(spec, client).running() as owner:
        await owner.host.wait_until(*UP)
        limits = HostLimits(adopted_check_s=0.01, adopted_misses=1)
        async with Slot(dataclasses.replace(spec, url=owner.engine.base_url), client, limits=limits).running() as slot:
            await slot.host.wait_until(*UP)
            await owner.kill_engine()
            status = await slot.host.wait_until(EngineState.RESTARTING)
            assert "does not answer any more" in status.detail


async def test_after_the_end_it_says_so(client: httpx.AsyncClient, spec: EngineSpec) -> None:
    async with Slot(spec, client).running() as slot:
        await slot.host.wait_until(*UP)
    with pytest.raises(ShuttingDown):
        async with slot.host.lease():
            pass


async def test_output_of_a_conversation_is_not_in_the_log(
    client: httpx.AsyncClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    talkative = HEALTHY.replace('"listening"', '"the user said secret words"')
    with caplog.at_level(logging.INFO):
        async with Slot(scripted_spec(talkative, tmp_path), client).running() as slot:
            await slot.host.wait_until(*UP)
            async with slot.host.lease():
                await slot.kill_engine()
                await slot.host.wait_until(EngineState.RESTARTING)
            await slot.host.wait_until(*UP)
    assert "exited with code 7" in caplog.text
    assert "secret" not in caplog.text
