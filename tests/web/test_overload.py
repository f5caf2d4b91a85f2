"""When a loop counts as overloaded, and what new callers and those who talk then get on real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from itertools import chain, repeat

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from duplex.clock import MonotonicClock
from duplex.metrics import Metrics
from realtime.access import Access
from realtime.seat import Seats
from tests.duplex.engine.fake_host import FakeHost, pool_of
from tests.duplex.fake_engine import FakeEngine
from tests.realtime.server import peer, serving
from web.app import create_app
from web.compat import http_service
from web.loop_watch import watch_loop
from web.overload import LOOK_EVERY_S, Overload
from web.settings import Settings

CALM, SLOW, LATE = 0.001, 0.08, 0.2
BINARY = "?audio=binary"


def after(*lags_s: Iterable[float]) -> Overload:
    overload = Overload()
    for lag_s in chain(*lags_s):
        overload.saw(lag_s)
    return overload


@pytest.mark.parametrize(
    ("lags_s", "is_on"),
    [
        ([repeat(LATE, 49)], False),
        ([repeat(LATE, 50)], True),
        ([repeat(CALM, 50), repeat(LATE, 5)], False),
        ([repeat(CALM, 50), repeat(LATE, 6)], True),
        ([repeat(CALM, 50), [30.0], repeat(CALM, 49)], False),
        ([repeat(SLOW, 200)], False),
        ([repeat(LATE, 50), repeat(SLOW, 200)], True),
        ([repeat(LATE, 50), repeat(CALM, 44)], True),
        ([repeat(LATE, 50), repeat(CALM, 45)], False),
        ([repeat(LATE, 50), repeat(CALM, 45), repeat(SLOW, 50)], False),
        ([repeat(-1.0, 50)], False),
    ],
)
def test_overload_begins_late_and_ends_later(lags_s: list[Iterable[float]], is_on: bool) -> None:
    overload = after(*lags_s)
    assert overload.is_on is is_on
    assert (overload.refusal() is not None) is is_on


def test_a_refusal_says_how_late_and_when_to_come_again() -> None:
    refusal = after(repeat(0.25, 50)).refusal()
    assert refusal is not None
    assert "250 ms" in str(refusal)
    assert refusal.retry_after_s == 5.0


class _Late:
    """A clock that has gone on by `step_s` each time it is looked at."""

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self._now_s = 0.0

    def now(self) -> float:
        self._now_s += self._step_s
        return self._now_s


async def test_the_watch_measures_what_the_clock_says(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks = 0

    async def sleep(seconds: float) -> None:
        nonlocal looks
        assert seconds == LOOK_EVERY_S
        looks += 1
        if looks > 50:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    overload = Overload()
    with pytest.raises(asyncio.CancelledError):
        await watch_loop(overload, _Late(LOOK_EVERY_S + 0.3))
    assert overload.lag_s == pytest.approx(0.3)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@contextlib.asynccontextmanager
async def product(overload: Overload) -> AsyncIterator[str]:
    """The whole main port around two engines."""
    settings, clock, access = Settings(), MonotonicClock(), Access()
    pool = pool_of(FakeHost(engine=FakeEngine()), FakeHost(engine=FakeEngine()))
    async with (
        http_service(settings, pool, access, clock, Metrics(), overload=overload) as service,
        serving(create_app(settings, pool, service, Seats(), access, overload=overload)) as address,
    ):
        yield address


async def test_who_comes_is_refused_and_who_talks_is_not() -> None:
    overload = Overload()
    async with (
        product(overload) as address,
        httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http,
        peer(address, BINARY) as talks,
    ):
        await talks.until("session.created")
        assert (await http.get("/readyz")).status_code == 200
        for _ in range(50):
            overload.saw(LATE)
        ready = await http.get("/readyz")
        assert ready.status_code == 503
        assert "overloaded" in ready.json()["reason"]
        assert "omni_duplex_overloaded 1.0" in (await http.get("/metrics")).text

        with pytest.raises(InvalidStatus) as refused:
            async with peer(address, BINARY):
                pass
        assert (refused.value.response.status_code, refused.value.response.headers["retry-after"]) == (503, "5")
        async with peer(address, BINARY, additional_headers={"origin": f"http://{address}"}) as page:
            assert await page.closed() == 1013
            assert "overloaded" in page.close_reason
        init = await http.post("/omni/init_sys_prompt", json={})
        assert (init.status_code, init.headers["retry-after"]) == (503, "5")

        await talks.send({"type": "session.update", "session": {}})
        await talks.until("session.updated")
        for _ in range(50):
            overload.saw(CALM)
        async with peer(address, BINARY) as comes_again:
            await comes_again.until("session.created")
