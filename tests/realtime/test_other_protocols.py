"""Live and the demo's protocol over real sockets, with an engine that does what the test says."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from duplex.errors import EngineExited, EngineNotReady, OmniDuplexError, ShuttingDown
from realtime.access import Access
from realtime.dialects import minicpmo
from realtime.dialects.choice import LIVE_PATH
from realtime.keys import KeyRing
from realtime.seat import Seats
from tests.duplex.fake_engine import FakeEngine, answer, is_answer
from tests.duplex.talk import LOUD
from tests.realtime.dialects import test_live, test_minicpmo
from tests.realtime.server import Peer, peer, serving
from tests.realtime.test_endpoint import Pool, app

START: dict[str, Any] = {"type": "session.start", "session": {"model": "m"}}
SIMPLEX = "?conversation=simplex"
DEMO = "?mode=audio&conversation=simplex"
SPOKEN = LOUD * 24_000 + bytes(38_400)
END_WORDS = {
    "response.done",
    "response.cancelled",
    "response.listen",
    "error",
    "info",
    "session.warning",
    "session.closed",
}


@contextlib.asynccontextmanager
async def live(pool: Pool, query: str = SIMPLEX) -> AsyncIterator[Peer]:
    async with serving(app(pool)) as address, peer(address, query, path=LIVE_PATH) as client:
        await client.send(START)
        await client.until("session.started")
        yield client


@contextlib.asynccontextmanager
async def demo(pool: Pool, query: str = DEMO) -> AsyncIterator[Peer]:
    async with serving(app(pool)) as address, peer(address, query) as client:
        await client.until("session.queue_done")
        await client.send(test_minicpmo.UPDATE)
        await client.until("session.created")
        yield client


async def say(client: Peer, loud_s: float, quiet_s: float) -> None:
    pcm = LOUD * round(24_000 * loud_s) + bytes(2 * round(24_000 * quiet_s))
    await client.send(test_live.append(pcm))


def stream(client: Peer) -> bytes:
    return test_live.sound(client.events)


async def ask_demo(client: Peer, **fields: Any) -> None:
    await client.send(test_minicpmo.append(np.full(16_000, 0.01), **fields))
    await client.send(test_minicpmo.append(np.zeros(12_800)))


def answered(client: Peer) -> bytes:
    """The demo's deltas as 16-bit sound."""
    audio = b"".join(base64.b64decode(event["audio"]) for event in client.events if "audio" in event)
    return bytes(np.rint(np.frombuffer(audio, "<f4") * 32_768).astype("<i2").tobytes())


async def test_a_live_answer_lies_whole_in_the_stream() -> None:
    pool = Pool(FakeEngine(answer("Yes.", 0.3)))
    async with live(pool) as client:
        await client.wait(lambda: len(stream(client)) > 4000)
        assert not any(stream(client))
        await say(client, 1.0, 0.8)
        # The last sample of the answer, and then zeros.
        await client.wait(lambda: any(stream(client)) and not any(stream(client)[-9600:]))
        await client.send({"type": "session.close"})
        closed = await client.until("session.closed")
        assert await client.closed() == 1000
        pcm = stream(client)
        begins = next(at for at in range(0, len(pcm), 2) if any(pcm[at : at + 2])) - 2
        assert is_answer(pcm[begins : begins + 14_400], 0.3), "with the zero it begins with"
        assert not any(pcm[begins + 14_400 :])
        assert closed["usage"]["seconds"] == len(pcm) / 48_000
        for event in client.events:
            test_live.checked(json.dumps(event))


async def test_a_live_break_is_zeros_and_the_next_answer_is_heard() -> None:
    engine = FakeEngine(answer("A long story.", 30.0)[:2])
    engine.gate.clear()
    async with live(Pool(engine)) as client:
        await say(client, 1.0, 0.8)
        await client.wait(lambda: any(stream(client)))
        await say(client, 1.0, 0.0)
        await client.wait(lambda: not any(stream(client)[-9600:]))
        silent_from = len(stream(client))
        engine.script.append(answer("Next.", 0.2))
        await say(client, 0.0, 0.8)
        engine.gate.set()
        await client.wait(lambda: any(stream(client)[silent_from:]) and not any(stream(client)[-9600:]))
        texts = [event["delta"] for event in client.events if event["type"] == "session.output_transcript.delta"]
        assert texts == ["A long story.", "Next."]
        rest = stream(client)[silent_from:]
        begins = next(at for at in range(0, len(rest), 2) if any(rest[at : at + 2])) - 2
        assert is_answer(rest[begins : begins + 9600], 0.2)
        assert not any(rest[begins + 9600 :])


async def test_muted_speech_asks_nothing() -> None:
    pool = Pool(FakeEngine(answer("Yes.", 0.1)))
    async with live(pool) as client:
        await client.send({"type": "session.input_audio.mute"})
        await client.until("session.input_audio.muted")
        await say(client, 1.0, 0.8)
        await client.send({"type": "session.input_audio.unmute"})
        await client.until("session.input_audio.unmuted")
        assert pool.engine.calls == ["begin"]
        await say(client, 1.0, 0.8)
        await pool.engine.until("decode")


async def test_a_live_client_that_vanishes_frees_the_engine() -> None:
    pool = Pool(FakeEngine())
    async with live(pool) as client:
        client.connection.transport.abort()
        await pool.until_returned()


async def test_a_demo_turn_a_break_and_another_turn() -> None:
    engine = FakeEngine(answer("A long story.", 30.0)[:2])
    engine.gate.clear()
    async with demo(Pool(engine)) as client:
        await ask_demo(client)
        await client.until("response.output_audio.delta")
        engine.script.append(answer("Next.", 0.2))
        await client.send(test_minicpmo.append(force_listen=True))
        await client.until("response.listen")
        before = len(client.events)
        engine.gate.set()
        await ask_demo(client)
        await client.wait(lambda: any(event.get("end_of_turn") for event in client.events))
        kinds = {event["type"] for event in client.events[before:]}
        assert kinds == {"response.output_audio.delta"}
        del client.received[:before]
        assert is_answer(answered(client), 0.2)
        await client.send({"type": "session.close"})
        assert await client.closed() == 1000
        assert client.events[-1] == {"type": "session.closed", "reason": "stopped"}


async def test_the_demos_time_is_up_without_a_word_of_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(minicpmo.LONGEST_SESSION_S, "video", 0.05)
    pool = Pool(FakeEngine())
    async with demo(pool, "?mode=video") as client:
        assert await client.closed() == 1000
        assert client.events[-1] == {"type": "session.closed", "reason": "timeout"}
        await pool.until_returned()


@pytest.mark.parametrize(
    ("refusal", "code", "close_code"),
    [
        (EngineNotReady("The engine is still loading."), "service_unavailable", 1013),
        (ShuttingDown("The server is shutting down."), "service_unavailable", 1012),
    ],
)
async def test_the_demo_is_refused_in_its_own_words(refusal: OmniDuplexError, code: str, close_code: int) -> None:
    pool = Pool(FakeEngine())
    pool.refusal = refusal
    async with serving(app(pool)) as address, peer(address, DEMO) as client:
        assert await client.closed() == close_code
        assert client.events[0]["error"]["code"] == code


@pytest.mark.parametrize("path", ["/v1/realtime", LIVE_PATH])
async def test_an_engine_that_dies_ends_each_protocol_with_1011(path: str) -> None:
    pool = Pool(FakeEngine())
    query = DEMO if path == "/v1/realtime" else ""
    async with serving(app(pool)) as address, peer(address, query, path=path) as client:
        await pool.engine.until("begin")
        await client.send(test_minicpmo.UPDATE if query else START)
        await client.until("session.created" if query else "session.started")
        pool.engine.emit(EngineExited("The engine died (signal 9)."))
        assert await client.closed() == 1011
        assert client.events[-1]["error"]["code"] == ("inference_failed" if query else "engine_lost")


@pytest.mark.parametrize(
    ("path", "query", "begin", "last_words"),
    [
        ("/v1/realtime", "", {}, ["response.done", "error"]),
        ("/v1/realtime", "?ext=1", {}, ["response.done", "session.warning", "session.closed"]),
        (LIVE_PATH, SIMPLEX, START, ["info", "session.closed"]),
        ("/v1/realtime", DEMO, test_minicpmo.UPDATE, ["response.cancelled", "response.listen", "session.closed"]),
    ],
)
async def test_a_server_that_stops_ends_the_answer_and_says_so(
    path: str, query: str, begin: dict[str, Any], last_words: list[str]
) -> None:
    """In the words of each protocol, and once."""
    engine, seats = FakeEngine(answer("A long story.", 30.0)[:2]), Seats()
    async with serving(app(Pool(engine), seats=seats)) as address, peer(address, query, path=path) as client:
        if begin:
            await client.send(begin)
        if query == DEMO:
            await client.until("session.created")
            await ask_demo(client)
        elif begin:
            await say(client, 1.0, 0.8)
        else:
            await client.send({"type": "input_audio_buffer.append", "audio": base64.b64encode(SPOKEN).decode()})
        await client.wait(lambda: any(kind.endswith("audio.delta") for kind in client.types))
        seats.end_all(ShuttingDown("The server is shutting down."))
        assert await client.closed() == 1012
        assert client.close_reason == "The server is shutting down."
        assert [kind for kind in client.types if kind in END_WORDS][-len(last_words) :] == last_words
        assert client.types.count("response.done") == last_words.count("response.done")
        last = client.events[-1]
        assert last.get("reason", "") == {LIVE_PATH: "remote_hangup"}.get(path, "server_shutdown" if query else "")
        if path == LIVE_PATH:
            test_live.checked(json.dumps(last))


async def test_keys_count_for_live_too() -> None:
    async with serving(app(Pool(FakeEngine()), Access(keys=KeyRing(("secret",))))) as address:
        async with peer(address, path=LIVE_PATH) as client:
            assert await client.closed() == 1008
            (error,) = client.events
            assert test_live.checked(json.dumps(error))["error"]["code"] == "invalid_api_key"
        async with peer(address, path=LIVE_PATH, additional_headers={"X-API-Key": "secret"}) as client:
            await client.send(START)
            await client.until("session.started")


async def test_a_silent_engine_gives_a_stream_all_the_same() -> None:
    """Nothing of the stream waits for the engine: not even while it begins to think."""
    engine = FakeEngine()
    engine.gate.clear()
    async with live(Pool(engine)) as client:
        await say(client, 1.0, 0.8)
        await engine.until("decode")
        before = len(stream(client))
        await client.wait(lambda: len(stream(client)) >= before + 9600)
        assert not any(stream(client))
        async with asyncio.timeout(5):
            await client.send({"type": "session.close"})
            assert await client.closed() == 1000
