"""The end of a real server that has calls: who is refused, who may finish, what each is told, and what is left."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.exceptions import InvalidStatus

from duplex.engine.base import Mode
from tests.http_compat.backend import Backend, Call
from tests.http_compat.node import free_pair
from tests.realtime.server import peer, serving
from tests.speech import silence, speech
from tests.web.live import RunningServer, free_ports, running_server
from tests.web.test_app import BINARY, ask, hear

SIMPLEX = BINARY + "&conversation=simplex"
_PATIENCE_S = 20.0


async def until(condition: Callable[[], bool]) -> None:
    """Of another process, which tells nobody."""
    async with asyncio.timeout(_PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def until_logged(server: RunningServer, words: str) -> None:
    await until(lambda: words in server.log.read_text())


def survivors(family: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


async def test_a_drained_server_takes_nothing_new_and_lets_a_call_end(tmp_path: Path) -> None:
    backend = Backend()
    async with serving(backend.app) as registry:
        flags = ("--drain-s", "600", "--register-url", f"http://{registry}", "--session-policy", "takeover")
        port = free_pair()
        at = (port, port + 1, free_ports()[2])
        async with running_server(tmp_path / "server.log", *flags, at=at) as server:
            await until(lambda: len(backend.registered) == 1)
            family = server.family()
            async with (
                peer(server.address, SIMPLEX) as caller,
                peer(server.address, SIMPLEX) as waiter,
                httpx.AsyncClient(base_url=server.url, trust_env=False) as http,
            ):
                await caller.until("session.created")
                await waiter.until("session.queued")
                server.process.send_signal(signal.SIGTERM)
                assert await waiter.closed() == 1012
                assert waiter.types[-1] == "error"
                await until_logged(server, "draining: 1 call, 600 s left")
                await until(lambda: backend.unregistered == [f"127.0.0.1:{server.port}"])
                assert (await http.get("livez")).status_code == 200
                assert (await http.get("readyz")).json()["reason"] == "The server is shutting down."
                assert "omni_duplex_draining 1.0" in (await http.get("metrics")).text
                refused = await http.post("omni/init_sys_prompt", json={})
                assert refused.status_code == 503
                assert "retry-after" in refused.headers
                with pytest.raises(InvalidStatus, match="503"):
                    async with peer(server.address, SIMPLEX):
                        pass
                await ask(caller)
                await hear(caller)
                assert caller.close_code is None
                await caller.connection.close()
            assert await server.process.wait() == 0
            assert survivors(family) == []
    assert len(backend.registered) == 1


async def test_who_is_still_there_at_the_end_is_told(tmp_path: Path) -> None:
    """One HTTP stream in the middle of its answer, and a session whose caller has gone without a word."""
    flags = ("--drain-s", "0.1", "--engines", "2", "--engine-port", "0", "--parrot-fault", "answer_s=60")
    async with running_server(tmp_path / "server.log", *flags, "--simplex") as server:
        await server.until_engine("ready", number=1)
        async with Call(
            base_url=server.url, control_url=f"http://127.0.0.1:{server.control_port}", mode=Mode.SIMPLEX
        ) as call:
            assert await call.begin() == 200
            await call.say(speech(1.0))
            answer = call.finish(silence(1.0))
            await call.until(lambda: bool(call.chunks))
            async with peer(server.address, SIMPLEX) as caller:
                await caller.until("session.created")
                server.process.send_signal(signal.SIGTERM)
                assert await caller.closed() == 1012
            await call.settle()
            assert answer.generate is not None
            assert call.chunks
            assert call.failures == []
            stream = answer.generate.result()
            assert stream.done is not None
            assert [event["error"] for event in stream.events if "error" in event] == ["The server is shutting down."]
        assert await server.process.wait() == 0


async def test_a_second_signal_ends_a_drain_at_once(tmp_path: Path) -> None:
    async with running_server(tmp_path / "server.log", "--drain-s", "600") as server:
        family = server.family()
        async with peer(server.address, SIMPLEX) as caller:
            await caller.until("session.created")
            server.process.send_signal(signal.SIGTERM)
            await until_logged(server, "draining: 1 call")
            server.process.send_signal(signal.SIGINT)
            assert await caller.closed() == 1012
        assert await server.process.wait() == 0
        assert survivors(family) == []
        assert "Traceback" not in await asyncio.to_thread(server.log.read_text)


async def test_ctrl_c_is_a_quick_goodbye(tmp_path: Path) -> None:
    async with running_server(tmp_path / "server.log", "--drain-s", "600") as server, peer(server.address) as caller:
        await caller.until("session.created")
        server.process.send_signal(signal.SIGINT)
        assert await caller.closed() == 1012
        assert caller.types[-1] == "error", "what a stock client understands"
        assert await server.process.wait() == 0
        assert "draining" not in await asyncio.to_thread(server.log.read_text)
