"""Limits on real sockets. Where a client comes from is said by a header that the server was told to believe."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from duplex.clock import MonotonicClock
from duplex.errors import ClientStalled
from duplex.metrics import Metrics
from realtime.access import Access
from realtime.keys import KeyRing
from tests.duplex.fake_engine import FakeEngine
from tests.realtime.server import peer, serving
from tests.realtime.test_endpoint import BINARY, Pool, app
from web import app as web_app
from web import turnstile
from web.limits import LimitSettings
from web.turnstile import Turnstile

KEYED = Access(KeyRing(["alpha"]))
KEY = {"authorization": "Bearer alpha"}
FAR = {"x-forwarded-for": "198.51.100.7"}
ELSEWHERE = {"x-forwarded-for": "203.0.113.9"}


@contextlib.asynccontextmanager
async def guarded(access: Access | None = None, **limits: Any) -> AsyncIterator[str]:
    """A server with one engine behind the turnstile."""
    access = access or Access()
    entrance = Turnstile(app(Pool(FakeEngine()), access), access, LimitSettings(**limits), MonotonicClock(), Metrics())
    async with serving(entrance) as address:
        yield address


async def is_refused(address: str, headers: dict[str, str]) -> bool:
    async with peer(address, BINARY, additional_headers=headers) as caller:
        await caller.wait(lambda: bool(caller.events))
        first = caller.events[0]
        if first["type"] != "error":
            return False
        assert first["error"]["code"] == "rate_limit_exceeded"
        assert await caller.closed() == 1013
        return True


async def test_one_address_has_its_share_of_connections_and_another_has_its_own() -> None:
    async with guarded(sessions_per_address=1) as address:
        async with peer(address, BINARY, additional_headers=FAR) as first:
            await first.until("session.created")
            assert await is_refused(address, FAR)
            async with peer(address, BINARY, additional_headers=ELSEWHERE) as other:
                assert await other.closed() == 1013
                assert other.events[0]["error"]["code"] == "server_busy", "not for its address: there is one engine"
        async with asyncio.timeout(20.0):
            while await is_refused(address, FAR):  # until the end of the first has arrived
                pass


async def test_one_key_has_its_share_wherever_it_is_used() -> None:
    async with guarded(KEYED, sessions_per_key=1) as address, peer(address, BINARY, additional_headers=KEY) as first:
        await first.until("session.created")
        assert await is_refused(address, {**KEY, **ELSEWHERE})


async def test_connects_are_counted_and_this_machine_is_not() -> None:
    async with guarded(KEYED, connects_per_minute=3) as address:
        for _ in range(3):
            async with peer(address, BINARY, additional_headers=FAR) as stranger:
                assert await stranger.closed() == 1008, "no key"
        assert await is_refused(address, FAR)
        for _ in range(5):
            async with peer(address, BINARY) as own:
                assert await own.closed() == 1008


async def test_what_is_sent_is_counted_and_too_much_ends_the_session() -> None:
    async with (
        guarded(mib_per_minute=1) as address,
        peer(address, BINARY, additional_headers=FAR) as caller,
    ):
        await caller.until("session.created")
        for _ in range(3):
            await caller.send(bytes(800_000))
        assert await caller.closed() == 1013
        assert caller.events[-1]["error"]["code"] == "rate_limit_exceeded"
        assert "1 MiB within a minute for one address" in caller.close_reason


async def test_who_says_nothing_is_let_go() -> None:
    async with guarded(idle_s=0.2) as address, peer(address, BINARY) as caller:
        assert await caller.closed() == 1008
        assert "Nothing has come" in caller.close_reason


async def test_a_client_that_is_heard_is_not_let_go_and_its_timer_is_not_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, now_s = asyncio.get_running_loop(), 1000.0
    monkeypatch.setattr(loop, "time", lambda: now_s)
    calls = asyncio.Queue[Any]()
    patience = turnstile._Patience(calls.get, 60.0)
    timers = []
    monkeypatch.setattr(loop, "call_at", lambda when, look: timers.append((when, look)))
    for now_s in (1020.0, 1040.0):
        calls.put_nowait({"at": now_s})
        assert await patience.receive() == {"at": now_s}
    assert not timers
    waiting = asyncio.create_task(patience.receive())
    await asyncio.sleep(0)
    now_s = 1060.0
    patience._look()
    assert [when for when, _ in timers] == [1100.0], "60 s after the wait began"
    now_s = 1100.0
    timers[0][1]()
    with pytest.raises(ClientStalled):
        await waiting
    ends = asyncio.create_task(patience.receive())
    await asyncio.sleep(0)
    ends.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ends


async def test_wrong_keys_over_http_are_counted_and_right_ones_go_on() -> None:
    entrance = Turnstile(_bare, KEYED, LimitSettings(connects_per_minute=2), MonotonicClock(), Metrics())
    async with serving(entrance) as address, httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http:
        wrong = {**FAR, "x-api-key": "guess"}
        statuses = [(await http.get("/anything", headers=wrong)).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        refused = await http.get("/anything", headers=wrong)
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert (await http.get("/anything", headers={**FAR, **KEY})).status_code == 200
        assert (await http.get("/anything", headers=FAR)).status_code == 200, "no key is no guess"


async def test_inits_are_as_dear_as_connections() -> None:
    entrance = Turnstile(_bare, Access(), LimitSettings(connects_per_minute=1), MonotonicClock(), Metrics())
    async with serving(entrance) as address, httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http:
        assert (await http.post("/omni/init_sys_prompt", headers=FAR)).status_code == 200
        assert (await http.post("/omni/init_sys_prompt", headers=FAR)).status_code == 429
        assert (await http.post("/omni/streaming_prefill", headers=FAR)).status_code == 200


@pytest.mark.parametrize(("trusted", "last"), [((), 200), (("127.0.0.0/8",), 429), (("10.0.0.0/8",), 200)])
async def test_where_somebody_comes_from_is_believed_of_named_proxies_only(trusted: tuple[str, ...], last: int) -> None:
    entrance = Turnstile(_bare, Access(), LimitSettings(connects_per_minute=1), MonotonicClock(), Metrics())
    async with (
        serving(entrance, web_app.server_config(entrance, None, trusted)) as address,
        httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http,
    ):
        assert (await http.post("/omni/init_sys_prompt", headers=FAR)).status_code == 200
        assert (await http.post("/omni/init_sys_prompt", headers=FAR)).status_code == last
        assert (await http.get("/livez", headers=FAR)).status_code == 200, "probes and pages are not held up by it"


async def _bare(scope: Any, receive: Any, send: Any) -> None:
    """An app that says yes to everything."""
    assert scope["type"] in {"http", "lifespan"}
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"yes"})
