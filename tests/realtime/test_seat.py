"""Sockets that are lost, replaced and taken over, and what their client hears of the conversation all the same."""

import asyncio
import base64
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from fastapi import FastAPI, WebSocket
from websockets.asyncio.client import connect

from duplex.clock import MonotonicClock
from duplex.conversation_settings import ConversationSettings
from duplex.engine.base import EngineAudio, Mode
from duplex.errors import ClientStalled, EngineExited, ShuttingDown
from duplex.session import SessionLimits
from realtime.access import Access
from realtime.endpoint import RealtimeService, make_router
from realtime.keys import KeyRing
from realtime.seat import Arrival, Seat, Seats
from tests.duplex.fake_engine import FakeEngine, answer, is_answer
from tests.duplex.talk import LOUD
from tests.realtime.server import Peer, peer, serving
from tests.realtime.strict import checked
from tests.realtime.test_endpoint import Pool, ask, loud_is_speech

BINARY = "?audio=binary&input_rate=16000"
STOCK = "?session=kitchen"
STOPS = ShuttingDown("The server is shutting down.")


class Line:
    """A server with one engine, and the sockets of one client after another."""

    def __init__(
        self, engine: FakeEngine, *, grace_s: float = 20.0, keys: tuple[str, ...] = (), send_s: float = 10.0
    ) -> None:
        self.pool = Pool(engine)
        self.seats = Seats(grace_s)
        self.keys = keys
        self.address = ""
        self.app = FastAPI()
        service = RealtimeService(
            lease=self.pool.lease,
            access=Access(keys=KeyRing(keys)),
            defaults=ConversationSettings(mode=Mode.SIMPLEX),
            limits=SessionLimits(send_s=send_s),
            make_detector=loud_is_speech,
            clock=MonotonicClock(),
            seats=self.seats,
        )
        self.app.include_router(make_router(service))

    @contextlib.asynccontextmanager
    async def call(self, query: str = BINARY, **options: Any) -> AsyncIterator[Peer]:
        """A new session whose client means to come back."""
        async with peer(self.address, query, **options) as client:
            await client.until("session.created")
            await client.send({"type": "session.event_ack", "server_event_seq": 1})
            yield client

    @contextlib.asynccontextmanager
    async def resume(self, before: Peer, has: int, **changes: object) -> AsyncIterator[Peer]:
        created = next(event for event in before.events if event["type"] == "session.created")
        event = {
            "type": "session.resume",
            "session_id": created["session"]["id"],
            "resume_token": created["resume_token"],
            "last_received_server_event_seq": has,
            **changes,
        }
        async with peer(self.address, BINARY + "&resume=1") as client:
            await client.send(event)
            yield client


@contextlib.asynccontextmanager
async def line(engine: FakeEngine, **options: Any) -> AsyncIterator[Line]:
    one = Line(engine, **options)
    async with serving(one.app) as one.address:
        try:
            yield one
        finally:
            one.seats.end_all(STOPS)


def received(client: Peer, before: int = 0) -> int:
    """The newest number, counted as docs/protocol.md says: a binary message takes the next one."""
    number = before
    for message in client.received:
        number = number + 1 if isinstance(message, bytes) else message.get("server_event_seq", number)
    return number


def deltas(client: Peer) -> bytes:
    found = [e["delta"] for e in client.events if e["type"] == "response.output_audio.delta"]
    return b"".join(map(base64.b64decode, found))


async def ask_in_base64(client: Peer) -> None:
    for sound in (LOUD * 24_000, bytes(38_400)):
        await client.send({"type": "input_audio_buffer.append", "audio": base64.b64encode(sound).decode()})


# --- clients that count what they receive


@pytest.mark.parametrize("pieces", [1, 4])
async def test_an_answer_survives_losses_complete_to_the_sample(pieces: int) -> None:
    """Twice: the second loss comes right behind the replay of the first."""
    async with line(FakeEngine(answer("A story.", 1.2))) as server, contextlib.AsyncExitStack() as sockets:
        client = await sockets.enter_async_context(server.call())
        await ask(client)
        await client.wait(lambda: len([m for m in client.received if isinstance(m, bytes)]) >= pieces)
        client.connection.transport.abort()
        await client.closed()
        heard, has, types = client.sound, received(client), client.types
        second = await sockets.enter_async_context(server.resume(client, has))
        await second.until("session.resumed")
        await second.wait(lambda: bool(second.sound))
        second.connection.transport.abort()
        await second.closed()
        heard, has, types = heard + second.sound, received(second, has), types + second.types
        third = await sockets.enter_async_context(server.resume(client, has))
        await third.until("response.done")
        heard, types = heard + third.sound, types + third.types
        assert is_answer(heard, 1.2)
        assert third.types[0] == "session.resumed"
        assert types.count("response.created") == types.count("response.done") == 1
        numbers = [e["server_event_seq"] for c in (client, second, third) for e in c.events if "server_event_seq" in e]
        assert numbers == sorted(set(numbers)), "nothing twice"
        assert server.pool.engine.calls.count("begin") == 1


async def test_what_the_network_swallowed_is_sent_again() -> None:
    """The client says that it has less than the server sent: everything after it comes once more, byte by byte."""
    async with line(FakeEngine(answer("Yes.", 0.5))) as server, server.call() as client:
        await ask(client)
        await client.until("response.done")
        at = next(i for i, message in enumerate(client.received) if isinstance(message, bytes))
        last = client.received[at - 1]
        assert isinstance(last, dict)
        client.connection.transport.abort()
        await client.closed()
        async with server.resume(client, last["server_event_seq"]) as again:
            await again.until("response.done")
            assert again.received[1:] == client.received[at:]
            assert is_answer(again.sound, 0.5)


async def test_a_loss_in_silence_and_the_next_turn_on_the_new_socket() -> None:
    async with line(FakeEngine(answer("Yes.", 0.2), answer("No.", 0.3))) as server, server.call() as client:
        await ask(client)
        await client.until("response.done")
        client.connection.transport.abort()
        await client.closed()
        async with server.resume(client, received(client)) as again:
            resumed = await again.until("session.resumed")
            assert resumed["attachment_generation"] == 2
            assert resumed["resume_token"] == client.events[0]["resume_token"]
            await ask(again)
            await again.until("response.done")
            assert is_answer(again.sound, 0.3)
            assert again.types.count("session.created") == 0
            await again.send({"type": "session.close"})
            assert await again.closed() == 1000
            await server.pool.until_returned()


async def test_nothing_is_spoken_to_nobody() -> None:
    """The answer that was made meanwhile waits, and comes whole."""
    engine = FakeEngine(answer("Yes.", 0.4))
    engine.gate.clear()
    async with line(engine) as server, server.call() as client:
        await client.send(LOUD * 16_000)
        await client.until("input_audio_buffer.speech_started")
        client.connection.transport.abort()
        await client.closed()
        await engine.until("decode")
        engine.gate.set()
        async with server.resume(client, received(client)) as again:
            await again.until("response.done")
            assert is_answer(again.sound, 0.4)


async def test_a_wrong_token_opens_nothing_and_disturbs_nobody() -> None:
    async with line(FakeEngine(answer("Yes.", 0.2))) as server, server.call() as client:
        for change, code in (
            ({"resume_token": "guessed"}, "invalid_resume_token"),
            ({"session_id": "guessed"}, "session_resume_expired"),
            ({"last_received_server_event_seq": "7"}, "invalid_session_resume"),
        ):
            async with server.resume(client, 0, **change) as thief:
                error = await thief.until("error")
                assert error["error"]["code"] == code
                assert await thief.closed() == 1013, "it is a new session then, and the engine is taken"
                assert len({event["event_id"] for event in thief.events}) == len(thief.events) == 2
        await ask(client)
        await client.until("response.done")
        assert is_answer(client.sound, 0.2)


async def test_who_comes_too_late_begins_anew() -> None:
    async with line(FakeEngine(), grace_s=0.05) as server, server.call() as client:
        await client.send({"type": "response.cancel"})
        await client.until("error")
        client.connection.transport.abort()
        await server.pool.until_returned()
        async with server.resume(client, received(client)) as late:
            error = await late.until("error")
            assert error["error"]["code"] == "session_resume_expired"
            created = await late.until("session.created")
            assert created["session"]["id"] != client.events[0]["session"]["id"]


async def test_what_is_no_longer_kept_ends_the_session_and_begins_a_new_one_on_the_same_socket() -> None:
    async with line(FakeEngine()) as server, server.call() as client:
        await client.send({"type": "session.event_ack", "server_event_seq": 2})
        await (await client.connection.ping())
        client.connection.transport.abort()
        await client.closed()
        async with server.resume(client, 1) as again:
            error = await again.until("error")
            assert error["error"]["code"] == "session_resync_required"
            await again.until("session.created")
            assert "session.resumed" not in again.types


async def test_a_newer_socket_takes_over_and_the_older_one_is_told() -> None:
    async with line(FakeEngine(answer("Yes.", 1.0))) as server, server.call() as client:
        await ask(client)
        await client.wait(lambda: bool(client.sound))
        heard, has = client.sound, received(client)
        async with server.resume(client, has) as newer:
            replaced = await client.until("session.replaced")
            assert replaced["attachment_generation"] == 1
            assert await client.closed() == 1008
            assert client.close_reason == "session_replaced"
            await newer.until("response.done")
            assert is_answer(heard + newer.sound, 1.0)
            await newer.send({"type": "session.close"})
            assert await newer.closed() == 1000


async def test_a_first_event_that_does_not_resume_is_refused_with_the_reason_and_the_session_begins() -> None:
    async with line(FakeEngine()) as server, peer(server.address, "?resume=1") as client:
        await client.send({"type": "session.update", "session": {}})
        error = await client.until("error")
        assert error["error"]["code"] == "invalid_session_resume"
        await client.until("session.created")
        await client.send({"type": "session.resume", "session_id": "s", "resume_token": "t"})
        error = await client.until("error", times=2)
        assert error["error"]["code"] == "invalid_session_resume"
        await client.send({"type": "session.event_ack", "server_event_seq": 99})
        error = await client.until("error", times=3)
        assert error["error"]["param"] == "server_event_seq"


# --- who gets no grace


@pytest.mark.parametrize("query", [BINARY, "?input_rate=16000"])
async def test_a_client_that_never_asked_for_it_is_not_waited_for(query: str) -> None:
    async with line(FakeEngine()) as server, peer(server.address, query) as client:
        await client.until("session.created")
        client.connection.transport.abort()
        await server.pool.until_returned()


async def test_a_client_that_hangs_up_is_not_waited_for() -> None:
    async with line(FakeEngine()) as server, server.call() as client:
        await client.connection.close(1000)
        await server.pool.until_returned()


async def test_a_server_that_stops_waits_for_nobody() -> None:
    one = Line(FakeEngine())
    async with contextlib.AsyncExitStack() as cleanup:
        stopping = contextlib.AsyncExitStack()
        one.address = await stopping.enter_async_context(serving(one.app))
        client = await cleanup.enter_async_context(one.call())
        await client.send({"type": "response.cancel"})
        await client.until("error")
        client.connection.transport.abort()
        await client.closed()
        assert one.pool.leased
        one.seats.end_all(STOPS)
        await one.pool.until_returned()
        await stopping.aclose()


async def test_an_engine_that_dies_while_nobody_is_there_ends_the_session() -> None:
    async with line(FakeEngine()) as server, server.call() as client:
        await client.send({"type": "response.cancel"})
        await client.until("error")
        client.connection.transport.abort()
        await client.closed()
        server.pool.engine.emit(EngineExited("The engine died (signal 9)."))
        await server.pool.until_returned()


async def test_an_engine_that_dies_later_is_told_to_whoever_sits_there_now() -> None:
    async with line(FakeEngine()) as server, server.call() as client:
        client.connection.transport.abort()
        await client.closed()
        async with server.resume(client, 2) as again:
            await again.until("session.resumed")
            server.pool.engine.emit(EngineExited("The engine died (signal 9)."))
            assert await again.closed() == 1011
            assert again.events[-1]["error"]["code"] == "engine_lost"


# --- clients that do not count: ?session=KEY


async def test_a_stock_client_goes_on_by_its_key_with_what_it_cannot_have_heard() -> None:
    async with line(FakeEngine(answer("A story.", 1.5))) as server, contextlib.AsyncExitStack() as sockets:
        client = await sockets.enter_async_context(peer(server.address, STOCK))
        await client.until("session.created")
        await ask_in_base64(client)
        await client.wait(lambda: len(deltas(client)) >= 9600)
        client.connection.transport.abort()
        await client.closed()
        again = await sockets.enter_async_context(peer(server.address, STOCK))
        await again.until("response.done")
        assert again.types[:3] == ["session.created", "response.created", "response.output_item.added"]
        assert again.types.count("response.created") == again.types.count("response.done") == 1
        for event in again.events:
            checked(json.dumps(event))
        whole = b"".join(event.pcm for event in answer("", 1.5) if isinstance(event, EngineAudio))
        rest = deltas(again)
        assert rest
        assert whole.endswith(rest), "nothing is missing at its end"
        assert len(rest) + len(deltas(client)) >= len(whole)
        assert again.events[0]["session"]["id"] == client.events[0]["session"]["id"]
        assert server.pool.engine.calls.count("begin") == 1


async def test_a_key_belongs_to_who_chose_it() -> None:
    async with line(FakeEngine(), keys=("mine", "yours")) as server, contextlib.AsyncExitStack() as sockets:
        mine = {"Authorization": "Bearer mine"}
        client = await sockets.enter_async_context(peer(server.address, STOCK, additional_headers=mine))
        await client.until("session.created")
        client.connection.transport.abort()
        await client.closed()
        yours = {"Authorization": "Bearer yours"}
        other = await sockets.enter_async_context(peer(server.address, STOCK, additional_headers=yours))
        assert await other.closed() == 1013
        again = await sockets.enter_async_context(peer(server.address, STOCK, additional_headers=mine))
        created = await again.until("session.created")
        assert created["session"]["id"] == client.events[0]["session"]["id"]


async def test_a_socket_that_nobody_reads_does_not_hold_up_its_successor() -> None:
    """Real buffers, full: the server is stuck inside a send when the client calls again."""
    async with line(FakeEngine(), send_s=600.0) as server:
        host, _, port = server.address.partition(":")
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect((host, int(port)))
        url = f"ws://{server.address}/v1/realtime{STOCK}"
        stuck = await connect(url, sock=raw, max_queue=1, compression=None, ping_interval=None, proxy=None)
        await server.pool.engine.until("begin")
        (seat,) = server.seats._seats.values()
        while seat._sending is None:
            await stuck.send(json.dumps({"type": "session.update", "session": {"instructions": "x" * 200_000}}))
        async with peer(server.address, STOCK) as again:
            await again.until("session.created")
            await again.send({"type": "response.cancel", "event_id": "new"})
            await again.wait(lambda: any(e["error"]["event_id"] == "new" for e in again.events if e["type"] == "error"))
        stuck.transport.abort()


class FullSocket:
    """Takes a message and does not come back from it."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def send_text(self, _: str) -> None:
        self.asked.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("key", ["k", None])
async def test_a_message_that_hung_in_the_last_socket_does_not_silence_the_next(key: str | None) -> None:
    """The session is told that nobody is there only while nobody is, also by a client that never acknowledged."""
    last, following = FullSocket(), FullSocket()
    seat = Seat(cast("WebSocket", last), "s", MonotonicClock(), send_s=600.0, grace_s=20.0, key=key)
    sending = asyncio.create_task(seat.send(["{}"], None, 24_000))
    await last.asked.wait()
    seat.take(Arrival(cast("WebSocket", following), None))
    seat.socket = cast("WebSocket", following)
    assert await sending


async def test_a_client_that_does_not_read_what_comes_by_the_clock_has_stalled() -> None:
    socket = cast("WebSocket", FullSocket())
    with pytest.raises(ClientStalled):
        await Seat(socket, "s", MonotonicClock(), send_s=0.01, grace_s=20.0).say(["{}"])


@pytest.mark.parametrize("key", ["", "k" * 129])
async def test_a_key_has_a_length(key: str) -> None:
    async with line(FakeEngine()) as server, peer(server.address, f"?session={key}") as client:
        assert await client.closed() == 1008
        assert client.events[0]["error"]["param"] == "session"
