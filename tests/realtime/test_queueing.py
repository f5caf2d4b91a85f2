"""Waiting for an engine on real sockets, with the real pool over engines that do what the test says."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from websockets.exceptions import InvalidStatus

from duplex.clock import MonotonicClock
from duplex.conversation_settings import ConversationSettings
from duplex.engine.base import EngineSession, Mode
from duplex.engine.host import EngineState
from duplex.engine.pool import EnginePool, Meanwhile
from duplex.engine.succession import EngineLease
from duplex.errors import CapacityError, ShuttingDown
from duplex.session import SessionLimits
from realtime.access import Access
from realtime.endpoint import RealtimeService, make_router
from realtime.seat import Seats
from tests.duplex.engine.fake_host import FakeHost, pool_of
from tests.duplex.fake_engine import FakeEngine, answer, is_answer
from tests.duplex.talk import LOUD
from tests.realtime.dialects import test_minicpmo
from tests.realtime.server import Peer, peer, serving
from tests.realtime.test_endpoint import BINARY, ask, loud_is_speech
from tests.realtime.test_long_calls import Call

LIVE_START = {"type": "session.start", "session": {"model": "minicpm-o-4.5"}}


class Server:
    """One engine, or as many as there are hosts, behind a queue."""

    def __init__(self, *hosts: FakeHost, limit: int = 1000, seats: Seats | None = None, **service: Any) -> None:
        self.pool: EnginePool = pool_of(*hosts, queue_limit=limit)
        self.app = FastAPI()

        @contextlib.asynccontextmanager
        async def lease(
            wish: EngineSession, meanwhile: Meanwhile | None, *, first: bool = False
        ) -> AsyncIterator[EngineLease]:
            async with self.pool.lease(wish, meanwhile=meanwhile, first=first) as engine:
                yield EngineLease(engine, str(engine.kind), engine.stand_in)

        async def refusal(waits: bool) -> CapacityError | None:
            return await self.pool.refusal(waits=waits)

        realtime = RealtimeService(
            lease=lease,
            access=Access(),
            defaults=ConversationSettings(mode=Mode.SIMPLEX),
            limits=SessionLimits(),
            make_detector=loud_is_speech,
            clock=MonotonicClock(),
            seats=seats or Seats(),
            refusal=refusal,
        )
        self.app.include_router(make_router(replace(realtime, **service)))

    async def until(self, condition: Callable[[], bool]) -> None:
        """The server works in this process: its state is looked at whenever it has had a turn."""
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    async def until_waiting(self, number: int) -> None:
        await self.until(lambda: self.pool.queue_length == number)


async def test_who_waits_is_told_where_he_stands_and_then_talks() -> None:
    host = FakeHost(engine=FakeEngine(answer("Yes.", 0.3)))
    server = Server(host, queue_update_s=0.02)
    async with serving(server.app) as address, peer(address, BINARY) as first:
        await first.until("session.created")
        async with peer(address, BINARY) as second, peer(address, BINARY) as third:
            told = await second.until("session.queued")
            assert (told["position"], told["estimated_wait_s"]) == (1, None)
            assert (await third.until("session.queued"))["position"] == 2
            await third.until("session.queue_update", 2)
            await first.connection.close()
            done = await second.until("session.queue_done")
            assert done["ticket"] == told["ticket"]
            await second.until("session.created")
            assert second.types.index("session.queue_done") < second.types.index("session.created")
            assert second.events[-1].get("server_event_seq") in {1, 2}, "the session's numbers begin with the session"
            await third.wait(lambda: third.events[-1]["position"] == 1)
            assert isinstance(third.events[-1]["estimated_wait_s"], float)
            await ask(second)
            await second.until("response.done")
            assert is_answer(second.sound, 0.3)
            assert "session.created" not in third.types


async def test_what_is_said_in_the_queue_is_heard_by_nobody_and_what_is_wished_is_kept() -> None:
    host = FakeHost(engine=FakeEngine(answer("Yes.", 0.3)))
    server = Server(host)
    async with serving(server.app) as address, peer(address, BINARY) as first:
        await first.until("session.created")
        async with peer(address) as second:
            await server.until_waiting(1)
            loud = base64.b64encode(LOUD * 24_000).decode()
            await second.send({"type": "session.update", "session": {"instructions": "Be brief."}})
            for _ in range(40):  # more than is kept of anything that comes early
                await second.send({"type": "input_audio_buffer.append", "audio": loud})
            # Answered when all before it was read.
            await (await second.connection.ping())
            await first.connection.close()
            await second.until("session.created")
            updated = await second.until("session.updated")
            assert updated["session"]["instructions"] == "Be brief."
            await second.send({"type": "input_audio_buffer.append", "audio": loud})
            await second.send({"type": "input_audio_buffer.append", "audio": base64.b64encode(bytes(48_000)).decode()})
            await second.until("response.done")
            assert second.types.count("input_audio_buffer.speech_started") == 1
            assert len(host.engine.heard) < 3 * 32_000, "what was said in the queue was heard"
            assert second.types[0] == "session.created", "a strict client hears nothing of a queue"


async def test_a_place_is_given_up_with_the_connection() -> None:
    server = Server(FakeHost())
    async with serving(server.app) as address, peer(address, BINARY) as first:
        await first.until("session.created")
        async with peer(address, BINARY) as second, peer(address, BINARY + "&x=1") as third:
            await second.until("session.queued")
            await third.until("session.queued")
            second.connection.transport.abort()
            await server.until_waiting(1)
            await first.connection.close()
            await third.until("session.created")


@pytest.mark.parametrize("turns", range(12))
async def test_who_goes_in_the_moment_in_which_an_engine_comes_has_gone(turns: int) -> None:
    server, call = Server(FakeHost()), Call("/v1/realtime", "audio=binary")
    async with server.pool.lease():
        serving_it = asyncio.create_task(call.serve(server.app))
        await server.until_waiting(1)
        call.hang_up()
        for _ in range(turns):
            await asyncio.sleep(0)
    await serving_it
    async with server.pool.lease():
        assert not call.got["session.created"]


async def test_the_live_protocol_starts_when_its_turn_comes() -> None:
    server = Server(FakeHost())
    async with serving(server.app) as address, peer(address, BINARY) as first:
        await first.until("session.created")
        async with peer(address, path="/v1/live/sessions") as second:
            await second.send(LIVE_START)
            await second.send({"type": "session.input_audio.append", "audio": "AAAA"})
            await server.until_waiting(1)
            await (await second.connection.ping())
            assert second.received == []
            await first.connection.close()
            await second.until("session.output_audio.delta")
            assert second.types[0] == "session.started"


async def test_the_demo_queues_in_its_own_words() -> None:
    server = Server(FakeHost(), queue_update_s=0.02)
    async with serving(server.app) as address, peer(address, BINARY) as first:
        await first.until("session.created")
        async with peer(address, "?mode=audio") as second:
            queued = await second.until("session.queued")
            assert queued.keys() == {"type", "position", "estimated_wait_s", "ticket_id", "queue_length"}
            await second.until("session.queue_update")
            await first.connection.close()
            await second.until("session.queue_done")
            await second.send(test_minicpmo.UPDATE)
            await second.until("session.created")
            assert second.types.count("session.queue_done") == 1


@pytest.mark.parametrize("query", ["?audio=binary&queue=0", "?queue=0", "?ext=1"])
async def test_a_program_that_gets_neither_engine_nor_place_is_refused_before_it_is_accepted(query: str) -> None:
    server = Server(FakeHost(), limit=1)
    async with serving(server.app) as address, peer(address, BINARY) as first:
        await first.until("session.created")
        async with peer(address, BINARY) as second:
            await second.until("session.queued")
            with pytest.raises(InvalidStatus) as refused:
                async with peer(address, query):
                    pass
            response = refused.value.response
            assert response.status_code == 503
            assert int(response.headers["Retry-After"]) >= 1
            assert response.body is not None
            assert json.loads(response.body)["error"]["code"] == "server_busy"


@pytest.mark.parametrize(
    ("query", "options", "code"),
    [
        ("", {"origin": "ORIGIN"}, "server_busy"),
        ("?queue=0", {"origin": "ORIGIN"}, "server_busy"),
        ("?mode=audio", {}, "queue_full"),
        ("?mode=audio&queue=0", {}, "worker_busy"),
    ],
)
async def test_pages_and_the_demo_are_told_by_an_event(query: str, options: dict[str, str], code: str) -> None:
    server = Server(FakeHost(), limit=1)
    async with serving(server.app) as address, peer(address, BINARY) as first:
        await first.until("session.created")
        async with peer(address, BINARY) as second:
            await second.until("session.queued")
            options = dict.fromkeys(options, f"http://{address}")
            async with peer(address, query, **options) as third:
                assert await third.closed() == 1013
                assert third.events[0]["error"]["code"] == code


async def test_an_engine_that_loads_is_waited_for() -> None:
    host = FakeHost(EngineState.STARTING)
    server = Server(host)
    async with serving(server.app) as address, peer(address, BINARY) as client:
        await client.until("session.queued")
        host.become(EngineState.READY)
        await client.until("session.created")


async def test_a_server_that_ends_says_so_to_those_who_wait() -> None:
    server = Server(FakeHost())
    async with serving(server.app) as address, peer(address, BINARY) as first:
        await first.until("session.created")
        async with peer(address, BINARY) as second:
            await second.until("session.queued")
            server.pool.close()
            assert await second.closed() == 1012


async def test_a_call_that_is_resumed_needs_no_place() -> None:
    server = Server(FakeHost(), limit=1)
    async with serving(server.app) as address, peer(address, "?session=kitchen") as first:
        await first.until("session.created")
        async with peer(address, BINARY) as second:
            await second.until("session.queued")
            first.connection.transport.abort()
            async with peer(address, "?session=kitchen") as again:
                await again.until("session.created")


async def test_a_kept_seat_keeps_its_engine_from_those_who_wait() -> None:
    seats = Seats(grace_s=600.0)
    server = Server(FakeHost(), seats=seats)
    async with serving(server.app) as address, peer(address, "?session=kitchen") as first:
        await first.until("session.created")
        async with peer(address, BINARY) as second:
            await second.until("session.queued")
            first.connection.transport.abort()
            (seat,) = seats._seats.values()
            await server.until(lambda: seat.socket is None)
            await (await second.connection.ping())
            assert second.types == ["session.queued"]
            seat.end(ShuttingDown("The server is shutting down."))
            await second.until("session.created")


async def wait_in_line(address: str, number: int, order: list[int], server: Server) -> None:
    async with peer(address, BINARY) as client:
        await client.until("session.created")
        order.append(number)
        await client.connection.close()


async def test_the_order_is_kept_on_sockets() -> None:
    server = Server(FakeHost(), FakeHost())
    order: list[int] = []
    async with serving(server.app) as address, contextlib.AsyncExitStack() as stack:
        holders: list[Peer] = [await stack.enter_async_context(peer(address, BINARY)) for _ in range(2)]
        for holder in holders:
            await holder.until("session.created")
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(wait_in_line(address, number, order, server))
                await server.until_waiting(number + 1)
            await holders[0].connection.close()
    assert order == list(range(20))
