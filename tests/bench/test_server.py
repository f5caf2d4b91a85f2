"""The server under test: that it is started as its flags and the choice of TLS say."""

import ssl
from pathlib import Path

import httpx

from bench.server import running_server
from duplex.engine.ports import LOOPBACK


async def test_a_server_with_tls_shows_the_certificate_that_is_named(tmp_path: Path) -> None:
    async with running_server("--engine", "parrot", state_dir=tmp_path) as server:
        trusted = ssl.create_default_context(cafile=server.certificate)
        async with httpx.AsyncClient(trust_env=False, verify=trusted) as client:
            status = (await client.get(f"https://{LOOPBACK}:{server.port}/status")).json()
        async with server.one_call():
            assert server.url().startswith("wss://")
    assert status["engines"][0]["kind"] == "parrot"
