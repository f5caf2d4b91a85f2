"""A page's way in: a real server, a key from it, a real WebSocket."""

import base64
from pathlib import Path

import httpx
from openai.types.realtime import ClientSecretCreateResponse

from tests.realtime.server import peer
from tests.web.live import running_server

PATH = "v1/realtime/client_secrets"


async def test_a_page_gets_in_with_a_short_lived_key_and_not_with_another(tmp_path: Path) -> None:
    real = {"authorization": "Bearer alpha"}
    async with running_server(tmp_path / "log", "--api-key", "alpha") as server:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            session = {"audio": {"input": {"format": {"type": "audio/pcmu"}, "turn_detection": None}}}
            made = await client.post(PATH, headers=real, json={"session": session})
            assert made.status_code == 200
            ClientSecretCreateResponse.model_validate(made.json(), strict=True)
            value = made.json()["value"]
            assert (await client.post(PATH)).status_code == 401
            assert (await client.post(PATH, headers={"authorization": f"Bearer {value}"})).status_code == 401
            assert (await client.post(PATH, headers={**real, "origin": "https://evil.example"})).status_code == 403
            assert (await client.post(PATH, headers=real, content=b"{")).json()["error"]["code"] == "invalid_value"
            assert (await client.post(PATH, headers=real, content=bytes(70_000))).status_code == 400
            wrong = await client.post(PATH, headers=real, json={"session": {"instructions": 1}})
            assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "session.instructions")
            rate = {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 1}}}}
            assert (await client.post(PATH, headers=real, json={"session": rate})).status_code == 400
        async with peer(server.address, subprotocols=["realtime", f"openai-insecure-api-key.{value}"]) as page:
            created = await page.until("session.created")
            heard = created["session"]["audio"]["input"]
            assert (heard["format"]["type"], heard["turn_detection"]) == ("audio/pcmu", None)
            # The conversation began so too: in push to talk a second of sound can be committed.
            sound = base64.b64encode(bytes([0xFF]) * 8000).decode()
            await page.send({"type": "input_audio_buffer.append", "audio": sound})
            await page.send({"type": "input_audio_buffer.commit"})
            await page.until("input_audio_buffer.committed")
            assert page.connection.subprotocol == "realtime"
        async with peer(server.address, subprotocols=["realtime", "openai-insecure-api-key.ek_no"]) as stranger:
            assert await stranger.closed() == 1008
