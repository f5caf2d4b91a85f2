"""Calls that are longer than the model's context, and than anything that is kept of them."""

from pathlib import Path

import httpx

from tests.realtime.server import peer
from tests.speech import silence
from tests.web.live import free_ports, running_server
from tests.web.test_app import BINARY, RATE_HZ, ask, hear, say


async def test_a_call_goes_on_when_its_context_is_full(tmp_path: Path) -> None:
    ports = free_ports()
    settings = tmp_path / "settings.toml"
    settings.write_text("[engine]\nctx_size = 512\n")
    async with running_server(tmp_path / "server.log", "--duplex", "--config", str(settings), at=ports) as server:
        async with peer(server.address, BINARY) as client:
            await client.until("session.created")
            for seconds in range(1, 31):
                await say(client, silence(1.0, RATE_HZ))
                await client.until("response.listen", seconds)
            assert (await client.until("session.warning"))["code"] == "context_restarted"
            await ask(client)
            await say(client, silence(6.0, RATE_HZ))
            await hear(client)
            async with httpx.AsyncClient(trust_env=False) as http:
                state = (await http.get(f"http://127.0.0.1:{ports[2]}/parrot/state")).json()
                figures = (await http.get(f"{server.url}metrics")).text
            restarts = client.types.count("session.warning")
        assert state["context_slides"] == 0
        assert f'omni_duplex_context_restarts_total{{dialect="openai"}} {restarts}.0' in figures
