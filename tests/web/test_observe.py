"""What watches over a server finds: probes and figures of a real one, before, in and after calls."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus

from duplex.engine.host import EngineState, EngineStatus
from duplex.engine.pool import EnginePool
from duplex.engine.spec import EngineKind
from realtime.access import Access
from realtime.keys import KeyRing
from tests.realtime.server import peer
from tests.web.live import RunningServer, running_server
from tests.web.test_app import BINARY, ask, hear
from web.observe import make_status_router
from web.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = {"authorization": "Bearer alpha-key"}
DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    log = tmp_path_factory.mktemp("observe") / "server.log"
    async with running_server(log, "--api-key", "alpha-key") as running:
        yield running


async def scrape(client: httpx.AsyncClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = await client.get("metrics", headers=KEY)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def labelled(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return f"omni_duplex_{name}", frozenset(labels.items())


async def test_probes_need_no_key_and_figures_do(server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        assert (await client.get("livez")).json() == {"live": True}
        assert (await client.get("readyz")).json() == {"ready": True}
        assert (await client.get("metrics")).status_code == 401
        assert (await client.get("metrics", headers={**KEY, "origin": "https://evil.example"})).status_code == 403


@pytest.mark.parametrize(("keys", "offered", "told"), [(("k",), "", False), (("k",), "k", True), ((), "", True)])
async def test_how_an_engine_fares_in_words_is_told_to_those_who_may_call(
    keys: tuple[str, ...], offered: str, told: bool
) -> None:
    detail = "/srv/somebody/model is gone"
    failed = EngineStatus(kind=EngineKind.LLAMA_SERVER, state=EngineState.FAILED, detail=detail, stand_in=False)
    pool = cast("EnginePool", SimpleNamespace(status=lambda: [failed], queue_length=0))
    app = FastAPI()
    app.include_router(make_status_router(Settings(), pool, Access(KeyRing(keys)).check))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        headers = {"Authorization": f"Bearer {offered}"} if offered else {}
        (engine,) = (await client.get("/status", headers=headers)).json()["engines"]
    assert engine == {"kind": "llama-server", "state": "failed", "detail": detail if told else "", "stand_in": False}


async def test_a_call_and_its_break_are_in_the_figures(server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        before = await scrape(client)
        async with peer(server.address, BINARY + "&conversation=simplex", additional_headers=KEY) as caller:
            await caller.until("session.created")
            assert (await client.get("readyz")).json() == {"ready": True}, "the next one may wait"
            assert (await client.get("livez")).status_code == 200
            own_page = {**KEY, "Origin": f"http://{server.address}"}
            async with peer(server.address, BINARY + "&queue=0", additional_headers=own_page) as second:
                assert await second.closed() == 1013
            with pytest.raises(InvalidStatus):
                async with peer(server.address, BINARY + "&queue=0", additional_headers=KEY):
                    pass
            await ask(caller)
            await caller.wait(lambda: len(caller.sound) > 4800)
            running = await scrape(client)
            assert running[labelled("running_sessions", dialect="openai")] == 1
            assert running[labelled("engine_state", engine="0", kind="parrot", state="leased")] == 1
            assert running[labelled("engine_state", engine="0", kind="parrot", state="ready")] == 0
            assert 0 <= running[labelled("queue_fill_ratio", queue="outbox_audio")] < 1
            await caller.send({"type": "response.cancel"})
            await hear(caller)
        await server.until_engine("ready")
        after = await scrape(client)

        def grown(name: str, **labels: str) -> float:
            return after[labelled(name, **labels)] - before.get(labelled(name, **labels), 0.0)

        assert grown("sessions_total", dialect="openai") == 1
        assert grown("sessions_ended_total", reason="done") == 1
        assert grown("refusals_total", interface="realtime", reason="EngineBusy") == 2
        assert grown("responses_total", dialect="openai", outcome="client_cancelled") == 1
        assert grown("break_flush_seconds_count") == 1
        assert grown("turn_stage_seconds_count", stage="speech_end_to_first_audio") == 1
        assert after[labelled("engine_restarts_total", engine="0")] == 0
        assert after[("process_resident_memory_bytes", frozenset())] > 1e6


async def test_an_engine_that_has_failed_too_often_makes_the_server_not_ready(tmp_path: Path) -> None:
    async with running_server(tmp_path / "server.log", "--restarts-per-hour", "0") as server:
        server.family()[1].kill()
        await server.until_engine("failed")
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            answer = await client.get("readyz")
            assert (answer.status_code, answer.json()["engines"]) == (503, ["failed"])
            assert "Given up after 0 restarts within an hour" in answer.json()["reason"]
            assert (await client.get("health")).json()["status"] == "failed"


async def test_http_callers_are_counted_too(server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, headers=KEY, timeout=30.0) as client:
        no_session = await client.post("omni/streaming_generate")
        assert no_session.status_code == 400
        opened = await client.post("omni/init_sys_prompt", json={"media_type": "audio", "duplex_mode": False})
        assert opened.status_code == 200
        assert (await client.post("omni/streaming_generate")).text.endswith('data: {"done": true}\n\n')
        await client.post("omni/stop")
        async with httpx.AsyncClient(trust_env=False) as stranger:
            refused = await stranger.post(f"http://127.0.0.1:{server.control_port}/omni/break")
        assert refused.status_code == 401
        figures = await scrape(client)
    assert figures[labelled("refusals_total", interface="http", reason="NoSession")] == 1
    assert figures[labelled("refusals_total", interface="control", reason="NotAuthorised")] == 1
    assert figures[labelled("sessions_total", dialect="http")] == 1
    assert figures[labelled("responses_total", dialect="http", outcome="completed")] == 1


async def test_every_figure_is_documented_and_no_other(server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, headers=KEY) as client:
        text = (await client.get("metrics")).text
    shown = set(re.findall(r"^# TYPE (omni_duplex_\w+) ", text, re.MULTILINE))
    shown = {name for name in shown if not name.endswith("_created")}
    documented = set(re.findall(r"^\| `(omni_duplex_\w+)", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE))
    assert documented == shown
