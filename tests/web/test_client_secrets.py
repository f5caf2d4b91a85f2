"""A page's way in: a real server, a key from it, a real WebSocket."""

from pathlib import Path

import httpx

from tests.realtime.server import peer
from tests.web.live import running_server

PATH = "v1/realtime/client_secrets"


async def test_a_page_gets_in_with_a_short_lived_key_and_not_with_another(tmp_path: Path) -> None:
    real = {"authorization": "Bearer alpha"}
    async with running_server(tmp_path / "log", "--api-key", "alpha") as server:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            made = await client.post(PATH, headers=real, json={"session": {"type": "realtime"}})
            assert (made.status_code, made.json()["session"]) == (200, {"type": "realtime"})
            value = made.json()["value"]
            assert (await client.post(PATH)).status_code == 401
            assert (await client.post(PATH, headers={"authorization": f"Bearer {value}"})).status_code == 401
            assert (await client.post(PATH, headers={**real, "origin": "https://evil.example"})).status_code == 403
            assert (await client.post(PATH, headers=real, content=b"{")).json()["error"]["code"] == "invalid_value"
            assert (await client.post(PATH, headers=real, content=bytes(70_000))).status_code == 400
        async with peer(server.address, subprotocols=["realtime", f"openai-insecure-api-key.{value}"]) as page:
            await page.until("session.created")
            assert page.connection.subprotocol == "realtime"
        async with peer(server.address, subprotocols=["realtime", "openai-insecure-api-key.ek_no"]) as stranger:
            assert await stranger.closed() == 1008
