"""A voice that is left with the server reaches the engine: every route of the product over engines that only listen."""

import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest

from duplex.clock import MonotonicClock
from duplex.engine.base import EngineSession, Mode
from duplex.metrics import Metrics
from duplex.wav import read_wav, write_wav
from realtime.access import Access
from realtime.seat import Seats
from tests.duplex.engine.fake_host import FakeHost, pool_of
from tests.duplex.fake_engine import FakeEngine
from tests.realtime.server import peer, serving
from tests.speech import speech
from web.app import create_app
from web.compat import http_service
from web.overload import Overload
from web.settings import Settings

RATE_HZ = 16_000


@contextlib.asynccontextmanager
async def product(engine: FakeEngine) -> AsyncIterator[str]:
    """The whole main port around one engine."""
    settings, clock, access = Settings(), MonotonicClock(), Access()
    pool = pool_of(FakeHost(engine=engine))
    async with (
        http_service(settings, pool, access, clock, Metrics(), overload=Overload()) as service,
        serving(create_app(settings, pool, service, Seats(), access, overload=Overload())) as address,
    ):
        yield address


async def leave(address: str, wav: bytes) -> str:
    """Leave a voice; the name it was given."""
    async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as client:
        response = await client.post("/v1/realtime/voices", content=wav)
        assert response.status_code == 200, response.text
        return str(response.json()["id"])


@pytest.mark.parametrize("mode", list(Mode))
async def test_the_engine_begins_a_duplex_conversation_with_the_voice_that_was_left(mode: Mode) -> None:
    engine, pcm = FakeEngine(), speech(4.0, RATE_HZ)
    async with product(engine) as address:
        name = await leave(address, write_wav(pcm, rate_hz=RATE_HZ))
        async with peer(address, f"?audio=binary&conversation={mode}&voice={name}") as caller:
            await caller.until("session.created")
    (session,) = engine.sessions
    assert session.mode is mode
    if mode is Mode.SIMPLEX:
        assert session.voice is None, "in simplex the engine cannot imitate anybody"
        return
    assert session.voice is not None
    kept = read_wav(session.voice)
    assert (kept.pcm, kept.rate_hz, kept.channels) == (pcm, RATE_HZ, 1)


async def test_a_voice_that_is_not_kept_is_warned_of_and_the_call_goes_on() -> None:
    engine = FakeEngine()
    async with (
        product(engine) as address,
        peer(address, "?conversation=duplex&audio=binary&voice=voice_gone") as caller,
    ):
        assert (await caller.until("session.warning"))["code"] == "voice_unknown"
        assert "session.created" in caller.types
    assert engine.sessions == [EngineSession(Mode.DUPLEX)]
