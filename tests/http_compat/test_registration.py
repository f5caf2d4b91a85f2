"""The real server, and the stand-in of the backend on a port of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from duplex.engine.base import Mode
from tests.http_compat.backend import Backend, Call
from tests.http_compat.node import Node, running_node
from tests.realtime.server import serving
from tests.speech import silence, speech

_PATIENCE_S = 20.0


@asynccontextmanager
async def registering_node(backend_url: str, *flags: str, mode: str = "--simplex") -> AsyncIterator[Node]:
    """A node that knows the backend. Its start and its end are waited for in a thread: the backend must go on."""
    node = running_node("--register-url", backend_url, *flags, mode=mode)
    started = await asyncio.to_thread(node.__enter__)
    try:
        yield started
    finally:
        await asyncio.to_thread(node.__exit__, None, None, None)


async def until_registered(backend: Backend, times: int = 1) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while len(backend.registered) < times:  # noqa: ASYNC110 - another process comes to us
            await asyncio.sleep(0.01)


async def test_a_node_registers_serves_a_call_of_the_backend_and_leaves() -> None:
    backend = Backend()
    async with serving(backend.app) as address, registering_node(f"http://{address}/", mode="--duplex") as node:
        await until_registered(backend)
        service_id = f"127.0.0.1:{node.port}"
        assert backend.registered == [
            {
                "ip": "127.0.0.1",
                "port": node.port,
                "model_port": node.port,
                "service_name": "o45-cpp",
                "model_type": "duplex",
                "session_type": "release",
            }
        ]
        await backend.check_health()
        assert backend.records[service_id].status == "available"
        backend.lock(service_id, "somebody")
        async with Call(base_url=node.url, mode=Mode.DUPLEX) as call:
            assert await call.begin() == 200
            for second in (speech(1.0), silence(1.0), silence(1.0), silence(1.0)):
                await call.say(second)
            await call.until(lambda: bool(call.chunks))
            assert call.text.startswith("I heard 1.0 s")
            await backend.check_health()
            assert backend.records[service_id].status == "busy"
            assert await call.end() == 200
    assert backend.unregistered == [service_id]
    assert backend.records == {}
    assert len(backend.registered) == 1


async def test_the_address_that_is_told_can_be_chosen() -> None:
    backend = Backend()
    async with (
        serving(backend.app) as address,
        registering_node(f"http://{address}", "--advertise-ip", "node7.example") as node,
    ):
        await until_registered(backend)
        assert list(backend.records) == [f"node7.example:{node.port}"]
        assert backend.registered[0]["model_type"] == "simplex"
