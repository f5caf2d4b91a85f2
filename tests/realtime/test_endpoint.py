"""The route over real sockets, with an engine that does what the test says."""

import asyncio
import base64
import contextlib
import inspect
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from duplex import errors
from duplex.clock import MonotonicClock
from duplex.conversation_settings import ConversationSettings
from duplex.engine.base import EngineSession, Mode
from duplex.engine.pool import Meanwhile
from duplex.engine.succession import EngineLease
from duplex.errors import EngineBusy, EngineExited, EngineNotReady
from duplex.session import SessionLimits
from realtime.access import Access
from realtime.endpoint import CLOSE_CODES, RealtimeService, make_router
from realtime.keys import KeyRing
from realtime.seat import Seats
from tests.duplex.fake_engine import FakeEngine, answer, is_answer
from tests.duplex.talk import LOUD, LoudIsSpeech
from tests.duplex.test_pictures import picture
from tests.realtime.rules import Rules
from tests.realtime.server import Peer, peer, serving
from tests.realtime.strict import checked

BINARY = "?audio=binary&input_rate=16000"


class Pool:
    """One engine, one lease."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine: FakeEngine = engine
        self.fresh: FakeEngine | None = None
        self.leased = False
        self.refusal: errors.OmniDuplexError | None = None
        self.returned = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def lease(
        self, wish: EngineSession, meanwhile: Meanwhile | None, *, first: bool = False
    ) -> AsyncIterator[EngineLease]:
        del wish, meanwhile
        if first:
            if self.fresh is None:
                raise EngineNotReady("There is no other engine.")
            self.engine, self.fresh = self.fresh, None
        if self.refusal is not None:
            raise self.refusal
        if self.leased:
            raise EngineBusy("The engine is in a conversation. Try again when it has ended.")
        async with self.returned:
            self.leased = True
            self.returned.notify_all()
        try:
            yield EngineLease(self.engine, "parrot", stand_in=True)
        finally:
            await self.engine.finish()
            async with self.returned:
                self.leased = False
                self.returned.notify_all()

    async def until_leased(self) -> None:
        async with asyncio.timeout(20.0), self.returned:
            await self.returned.wait_for(lambda: self.leased)

    async def until_returned(self) -> None:
        async with asyncio.timeout(20.0), self.returned:
            await self.returned.wait_for(lambda: not self.leased)


class Deaf:
    """An echo canceller that takes everything for echo."""

    def clean(self, near: bytes, far: bytes) -> bytes:
        assert len(near) == len(far)
        return bytes(len(near))


def loud_is_speech(*, behind_canceller: bool = False) -> LoudIsSpeech:
    return LoudIsSpeech()


def app(
    pool: Pool, access: Access | None = None, *, cancels: bool = False, seats: Seats | None = None, **limits: Any
) -> FastAPI:
    application = FastAPI()
    service = RealtimeService(
        lease=pool.lease,
        access=access or Access(),
        defaults=ConversationSettings(mode=Mode.SIMPLEX),
        limits=replace(SessionLimits(), **limits),
        make_detector=loud_is_speech,
        clock=MonotonicClock(),
        make_canceller=Deaf if cancels else None,
        seats=seats or Seats(),
    )
    application.include_router(make_router(service))
    return application


@contextlib.asynccontextmanager
async def connected(pool: Pool, query: str = BINARY, **options: Any) -> AsyncIterator[Peer]:
    async with serving(app(pool)) as address, peer(address, query, **options) as client:
        await client.until("session.created")
        yield client


async def ask(client: Peer) -> None:
    """One second of speech and the silence that ends it."""
    await client.send(LOUD * 16_000)
    await client.send(bytes(25_600))


# --- conversations


async def test_a_spoken_turn_in_binary() -> None:
    pool = Pool(FakeEngine(answer("Yes.", 0.3)))
    async with connected(pool) as client:
        await ask(client)
        await client.until("response.done")
        assert is_answer(client.sound, 0.3)
        assert client.types.index("input_audio_buffer.speech_started") < client.types.index("response.created")


async def test_a_spoken_turn_in_base64_as_a_strict_client_sees_it() -> None:
    pool = Pool(FakeEngine(answer("Yes.", 0.3)))
    async with serving(app(pool)) as address, peer(address) as client:
        await client.until("session.created")
        speech = base64.b64encode(LOUD * 24_000).decode()
        await client.send({"type": "input_audio_buffer.append", "audio": speech})
        quiet = base64.b64encode(bytes(48_000)).decode()
        await client.send({"type": "input_audio_buffer.append", "audio": quiet})
        await client.until("response.done")
        for event in client.events:
            checked(json.dumps(event))
        deltas = [e["delta"] for e in client.events if e["type"] == "response.output_audio.delta"]
        assert is_answer(b"".join(map(base64.b64decode, deltas)), 0.3)


async def test_an_interruption_flushes_then_closes_and_the_next_words_are_heard() -> None:
    engine = FakeEngine(answer("A long story.", 30.0)[:2])
    engine.gate.clear()
    pool = Pool(engine)
    async with connected(pool) as client:
        await ask(client)
        await client.wait(lambda: bool(client.sound))
        before = len(engine.heard)
        await client.send(LOUD * 16_000)
        cleared = await client.until("output_audio_buffer.cleared")
        done = await client.until("response.done")
        assert cleared["response_id"] == done["response"]["id"]
        assert done["response"]["status"] == "cancelled"
        engine.script.append(answer("Next.", 0.2))
        await client.send(bytes(25_600))
        engine.gate.set()
        await client.until("response.done", times=2)
        after = client.received[client.received.index(cleared) :]
        assert is_answer(b"".join(m for m in after if isinstance(m, bytes)), 0.2)
        words = bytes(engine.heard[before:])
        assert words.count(LOUD) == 16_000
        assert client.types.count("response.done") == 2


async def test_a_noise_over_an_answer_holds_it_and_loses_no_byte() -> None:
    pool = Pool(FakeEngine(answer("Yes.", 1.0)))
    async with connected(pool) as client:
        await ask(client)
        await client.wait(lambda: bool(client.sound))
        await client.send(LOUD * 1600)
        ducked = await client.until("output_audio_buffer.ducked")
        await client.send(bytes(6400))
        resumed = await client.until("output_audio_buffer.resumed")
        done = await client.until("response.done")
        assert done["response"]["status"] == "completed"
        assert is_answer(client.sound, 1.0)
        held = client.received[client.received.index(ducked) : client.received.index(resumed)]
        assert not any(isinstance(message, bytes) for message in held)


async def test_a_picture_beside_the_microphone_reaches_the_engine() -> None:
    engine = FakeEngine(answer("Yes.", 0.1))
    async with connected(Pool(engine), "?input_rate=16000") as client:
        seen = picture("JPEG")
        sound = {"type": "input_audio_buffer.append", "audio": base64.b64encode(LOUD * 16_000).decode()}
        await client.send({**sound, "video_frames": [base64.b64encode(seen).decode()]})
        await client.send({**sound, "audio": base64.b64encode(bytes(25_600)).decode()})
        await client.until("response.done")
        assert engine.seen == [seen]


async def test_a_strict_client_hears_nothing_of_a_hold() -> None:
    pool = Pool(FakeEngine(answer("Yes.", 1.0)))
    async with connected(pool, "?input_rate=16000") as client:
        for sound in (LOUD * 16_000, bytes(25_600)):
            await client.send({"type": "input_audio_buffer.append", "audio": base64.b64encode(sound).decode()})
        await client.until("response.output_audio.delta")
        for sound in (LOUD * 1600, bytes(6400)):
            await client.send({"type": "input_audio_buffer.append", "audio": base64.b64encode(sound).decode()})
        await client.until("response.done")
        deltas = [e["delta"] for e in client.events if e["type"] == "response.output_audio.delta"]
        assert is_answer(b"".join(map(base64.b64decode, deltas)), 1.0)
        assert not any("buffer.ducked" in kind or "buffer.resumed" in kind for kind in client.types)
        assert client.types.count("input_audio_buffer.speech_started") == 1


async def test_an_echo_canceller_hears_for_clients_that_have_none() -> None:
    pool = Pool(FakeEngine(answer("Yes.", 0.1)))
    async with serving(app(pool, cancels=True)) as address:
        async with peer(address, BINARY) as client:
            await client.until("session.created")
            await ask(client)
            await client.send({"type": "input_audio_buffer.commit"})
            await client.until("error")
            assert "input_audio_buffer.speech_started" not in client.types
        await pool.until_returned()
        async with peer(address, BINARY + "&echo=cancelled") as client:
            await client.until("session.created")
            await ask(client)
            await client.until("response.done")


async def test_cancel_by_event() -> None:
    pool = Pool(FakeEngine(answer("A long story.", 30.0)[:2]))
    async with connected(pool) as client:
        await ask(client)
        await client.wait(lambda: bool(client.sound))
        await client.send({"type": "response.cancel"})
        done = await client.until("response.done")
        assert done["response"]["status_details"]["reason"] == "client_cancelled"


async def test_session_update_is_acknowledged() -> None:
    pool = Pool(FakeEngine())
    async with connected(pool) as client:
        await client.send({"type": "session.update", "session": {"instructions": "Hi"}})
        updated = await client.until("session.updated")
        assert updated["session"]["instructions"] == "Hi"


async def test_close_by_event_is_orderly() -> None:
    pool = Pool(FakeEngine())
    async with connected(pool) as client:
        await client.send({"type": "session.close"})
        await client.until("session.closed")
        assert await client.closed() == 1000
        await pool.until_returned()
    assert pool.engine.calls == ["begin", "finish"]


# --- bad input: an answer, and nothing else is lost


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "invalid_json"),
        ("[]", "invalid_type"),
        ('{"type":"make.coffee"}', "invalid_value"),
        (b"\1\2\3", "invalid_value"),
        ({"type": "input_audio_buffer.append", "audio": "AQID"}, "invalid_value"),
        ({"type": "response.cancel"}, "response_cancel_not_active"),
        ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty"),
        (
            {"type": "session.update", "session": {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 7}}}}},
            "invalid_value",
        ),
    ],
)
async def test_a_bad_message_gets_one_error_and_the_session_lives_on(message: object, code: str) -> None:
    pool = Pool(FakeEngine(answer("Yes.", 0.1)))
    async with connected(pool) as client:
        await client.send(message)
        error = await client.until("error")
        assert error["error"]["code"] == code
        await ask(client)
        await client.until("response.done")
        assert client.types.count("error") == 1


async def test_binary_where_text_is_due() -> None:
    pool = Pool(FakeEngine())
    async with connected(pool, "?input_rate=16000") as client:
        await client.send(b"\0\0")
        assert "audio=binary" in (await client.until("error"))["error"]["message"]


async def test_an_error_refers_to_the_clients_event() -> None:
    pool = Pool(FakeEngine())
    async with connected(pool) as client:
        await client.send({"type": "response.cancel", "event_id": "mine"})
        assert (await client.until("error"))["error"]["event_id"] == "mine"


@pytest.mark.parametrize(
    "query", ["?input_rate=1", "?output_rate=999999", "?input_rate=fast", "?audio=mp3", "?conversation=both"]
)
async def test_an_impossible_url_is_refused_with_the_reason(query: str) -> None:
    pool = Pool(FakeEngine())
    async with serving(app(pool)) as address, peer(address, query) as client:
        assert await client.closed() == 1008
        (error,) = client.events
        assert error["error"]["param"] == query[1:].partition("=")[0]
    assert pool.engine.calls == []


async def test_a_message_over_sixteen_mebibytes_closes_with_1009_and_the_next_session_works() -> None:
    pool = Pool(FakeEngine(answer("Yes.", 0.1)))
    async with serving(app(pool)) as address:
        async with peer(address, BINARY) as client:
            await client.until("session.created")
            with contextlib.suppress(Exception):
                await client.send(bytes(16 * 1024 * 1024 + 2))
            assert await client.closed() == 1009
        await pool.until_returned()
        async with peer(address, BINARY) as client:
            await client.until("session.created")
            await ask(client)
            await client.until("response.done")


async def test_fifteen_mebibytes_in_one_message_are_heard_within_the_bounds() -> None:
    pool = Pool(FakeEngine())
    pool.engine.gate.clear()
    async with connected(pool, BINARY + "&conversation=duplex") as client:
        await client.send(bytes(15 * 1024 * 1024))
        warning = await client.until("session.warning")
        assert warning["code"] == "input_dropped"
        await client.send({"type": "response.cancel"})
        await client.until("error")


async def test_what_comes_before_the_session_is_ready_is_kept_within_a_bound() -> None:
    """A client need not wait for session.created; a second of speech and its settings are not lost."""
    pool = Pool(FakeEngine(answer("Yes.", 0.1)))
    pool.engine.ready.clear()
    async with serving(app(pool)) as address, peer(address, BINARY) as client:
        await client.send({"type": "session.update", "session": {"instructions": "early"}})
        await ask(client)
        await client.send(bytes(2 * 1024 * 1024))
        await (await client.connection.ping())
        pool.engine.ready.set()
        updated = await client.until("session.updated")
        assert updated["session"]["instructions"] == "early"
        assert (await client.until("session.warning"))["code"] == "input_dropped"
        await client.until("response.done")
        assert client.types[0] == "session.created"


async def test_a_client_that_leaves_before_the_session_is_ready_frees_the_engine() -> None:
    pool = Pool(FakeEngine())
    pool.engine.ready.clear()
    async with serving(app(pool)) as address:
        async with peer(address, BINARY) as client:
            await pool.until_leased()
            client.connection.transport.abort()
            await pool.until_returned()
        pool.engine.ready.set()
        async with peer(address, BINARY) as client:
            await client.until("session.created")


# --- who may, and when not


async def test_a_second_client_is_told_that_the_engine_is_taken() -> None:
    pool = Pool(FakeEngine(answer("Yes.", 0.2)))
    async with serving(app(pool)) as address, peer(address, BINARY) as first:
        await first.until("session.created")
        async with peer(address, BINARY) as second:
            assert await second.closed() == 1013
            assert "in a conversation" in second.close_reason
        await ask(first)
        await first.until("response.done")
        assert is_answer(first.sound, 0.2)
        await first.connection.close()
        await pool.until_returned()
        async with peer(address, BINARY) as third:
            await third.until("session.created")


async def test_an_engine_still_loading_is_1013_with_the_progress() -> None:
    pool = Pool(FakeEngine())
    pool.refusal = EngineNotReady("The engine is still loading, 20 s so far.")
    async with serving(app(pool)) as address, peer(address) as client:
        assert await client.closed() == 1013
        assert client.close_reason == "The engine is still loading, 20 s so far."


async def test_keys_and_subprotocols() -> None:
    pool = Pool(FakeEngine())
    access = Access(keys=KeyRing(("secret",)))
    async with serving(app(pool, access)) as address:
        async with peer(address) as client:
            assert await client.closed() == 1008
            assert client.events[0]["error"]["code"] == "invalid_api_key"
        offered = ["realtime", "openai-insecure-api-key.secret"]
        async with peer(address, subprotocols=offered) as client:
            assert client.connection.subprotocol == "realtime"
            await client.until("session.created")
        await pool.until_returned()
        async with peer(address, additional_headers={"Authorization": "Bearer secret"}) as client:
            await client.until("session.created")


async def test_a_foreign_page_is_refused() -> None:
    pool = Pool(FakeEngine())
    async with serving(app(pool)) as address, peer(address, origin="https://evil.example") as client:
        assert await client.closed() == 1008
    assert pool.engine.calls == []


# --- ends


async def test_an_engine_killed_in_mid_call_closes_with_1011_and_says_so() -> None:
    pool = Pool(FakeEngine(answer("A long story.", 30.0)[:2]))
    async with serving(app(pool)) as address, peer(address, BINARY) as client:
        await client.until("session.created")
        await ask(client)
        await client.wait(lambda: bool(client.sound))
        pool.engine.emit(EngineExited("The engine died (signal 9)."))
        assert await client.closed() == 1011
        assert client.events[-1]["error"]["code"] == "engine_lost"


@pytest.mark.parametrize("query", [BINARY, ""])
async def test_a_call_goes_on_with_another_engine_on_the_same_socket(query: str) -> None:
    dying = FakeEngine(answer("A long story.", 30.0)[:2])
    pool = Pool(dying)
    pool.fresh = fresh = FakeEngine(answer("Yes.", 0.3))
    async with serving(app(pool)) as address, peer(address, query) as client:
        await client.until("session.created")

        async def say() -> None:
            for sound in (LOUD * 16_000, bytes(25_600)) if query else (LOUD * 24_000, bytes(48_000)):
                audio = base64.b64encode(sound).decode()
                await client.send(sound if query == BINARY else {"type": "input_audio_buffer.append", "audio": audio})

        await say()
        await client.wait(lambda: bool(client.sound) or "response.output_audio.delta" in client.types)
        dying.emit(EngineExited("The engine died (signal 9)."))
        failed = (await client.until("response.done"))["response"]
        assert failed["status"] == "failed"
        assert failed["status_details"] == {"type": "failed", "error": {"type": "server_error", "code": "engine_lost"}}
        if query == BINARY:
            assert (await client.until("session.warning"))["code"] == "engine_restarted"
        await fresh.until("begin")
        assert fresh.sessions == dying.sessions, "the same mode and voice"
        await say()
        answered = (await client.until("response.done", 2))["response"]
        assert answered["status"] == "completed"
        rules = Rules(beta=False)
        for event in client.events if query != BINARY else []:
            checked(json.dumps(event))
            rules.judge(event)
    await pool.until_returned()
    assert dying.calls[-1] == "finish"
    assert fresh.calls[-1] == "finish"


class DiesWhenItHears(FakeEngine):
    """Its process is gone when the first sound comes."""

    async def prefill(self, pcm: bytes, *, image: bytes | None = None, slices: int = 1) -> None:
        raise EngineExited("The engine died (signal 9).")


@pytest.mark.parametrize("call", ["prefill", "decode"])
async def test_a_question_that_was_not_answered_yet_is_answered_by_the_next_engine(call: str) -> None:
    dying = DiesWhenItHears() if call == "prefill" else FakeEngine()
    pool = Pool(dying)
    pool.fresh = fresh = FakeEngine(answer("Yes.", 0.3))
    async with serving(app(pool)) as address, peer(address, BINARY) as client:
        await client.until("session.created")
        dying.gate.clear()
        await ask(client)
        if call == "decode":
            await dying.until("decode")
            dying.emit(EngineExited("The engine died (signal 9)."))
        done = await client.until("response.done")
        assert done["response"]["status"] == "completed"
        assert is_answer(client.sound, 0.3)
        assert len(fresh.heard) >= 32_000, "all of the question"
        assert client.types.count("response.created") == 1


async def test_engines_that_fail_one_after_the_other_end_the_call() -> None:
    pool = Pool(FakeEngine())
    pool.fresh = FakeEngine()
    pool.fresh.fail = EngineExited("The engine died again.")
    async with serving(app(pool)) as address, peer(address, BINARY) as client:
        await client.until("session.created")
        pool.engine.emit(EngineExited("The engine died (signal 9)."))
        assert await client.closed() == 1011
        assert client.events[-1]["error"]["message"] == "The engine died again."


async def test_a_client_that_hangs_up_while_its_engine_is_replaced_leaves_nothing() -> None:
    dying = FakeEngine()
    pool = Pool(dying)
    pool.fresh = fresh = FakeEngine()
    fresh.ready.clear()
    async with serving(app(pool)) as address, peer(address, BINARY) as client:
        await client.until("session.created")
        dying.emit(EngineExited("The engine died (signal 9)."))
        async with asyncio.timeout(20):
            while not fresh.sessions:  # noqa: ASYNC110 - begin is held before it is recorded
                await asyncio.sleep(0)
        await client.connection.close()
        await pool.until_returned()
    assert "begin" not in fresh.calls


async def test_a_client_that_vanishes_in_mid_response_frees_the_engine() -> None:
    pool = Pool(FakeEngine(answer("A long story.", 30.0)[:2], answer("Yes.", 0.1)))
    async with serving(app(pool)) as address:
        async with peer(address, BINARY) as client:
            await client.until("session.created")
            await ask(client)
            await client.wait(lambda: bool(client.sound))
            client.connection.transport.abort()
            await pool.until_returned()
        assert pool.engine.calls[-1] == "finish"
        async with peer(address, BINARY) as client:
            await client.until("session.created")
            await ask(client)
            await client.until("response.done")
            assert is_answer(client.sound, 0.1)


async def test_a_client_that_stops_reading_loses_its_call_only() -> None:
    """Real socket buffers: a peer with a small window that never reads, against all the errors it asks for."""
    pool = Pool(FakeEngine())
    async with serving(app(pool, send_s=0.2)) as address:
        host, _, port = address.partition(":")
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect((host, int(port)))
        url = f"ws://{address}/v1/realtime"
        stuck = await connect(url, sock=raw, max_queue=1, compression=None, ping_interval=None, proxy=None)
        await pool.engine.until("begin")
        with contextlib.suppress(ConnectionClosed):
            while pool.leased:
                await stuck.send('{"type":"x"}')
        await pool.until_returned()
        stuck.transport.abort()
        async with peer(address, BINARY) as client:
            await client.until("session.created")


async def test_a_server_that_stops_tells_its_clients_to_come_back() -> None:
    pool = Pool(FakeEngine())
    async with contextlib.AsyncExitStack() as cleanup:
        stopping = contextlib.AsyncExitStack()
        address = await stopping.enter_async_context(serving(app(pool)))
        client = await cleanup.enter_async_context(peer(address, BINARY))
        await client.until("session.created")
        await stopping.aclose()
        assert await client.closed() == 1012
        await pool.until_returned()


def test_every_error_has_its_close_code() -> None:
    leaves = {
        error
        for _, error in inspect.getmembers(errors, inspect.isclass)
        if issubclass(error, errors.OmniDuplexError) and not error.__subclasses__()
    }
    assert set(CLOSE_CODES) == {error for error in leaves if error.__module__ == errors.__name__}
