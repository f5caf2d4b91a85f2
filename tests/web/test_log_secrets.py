"""What a server writes into its log at the most talkative level, of calls in every dialect and over HTTP."""

import asyncio
import base64
import contextlib
import json
from pathlib import Path

import httpx
from websockets.exceptions import InvalidStatus

from tests.realtime.server import peer
from tests.web.every_way import Sayings, call_every_way
from tests.web.live import RunningServer, running_server

SAYS = Sayings(name="name-zq7xk", word="word-zq7xk", key="key-zq7xk")


async def knock(server: RunningServer) -> None:
    """Keys in every place where one may be, right and wrong ones."""
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        for key, status in ((SAYS.key, 200), ("wrong-zq7xk", 401)):
            for headers in ({"Authorization": f"Bearer {key}"}, {"X-API-Key": str(key)}):
                assert (await client.get("/metrics", headers=headers)).status_code == status
            assert (await client.get(f"/?key={key}")).status_code == 200
            with contextlib.suppress(InvalidStatus):
                async with peer(server.address, subprotocols=["realtime", f"openai-insecure-api-key.{key}"]) as caller:
                    await caller.wait(lambda: bool(caller.received))


async def test_neither_keys_nor_names_nor_what_was_said_is_in_the_log(tmp_path: Path) -> None:
    async def log_of(line_format: str) -> str:
        file = tmp_path / f"{line_format}.log"
        flags = ("--api-key", str(SAYS.key), "--log-level", "debug", "--log-format", line_format)
        async with running_server(file, *flags) as server:
            await call_every_way(server, SAYS)
            await knock(server)
        return await asyncio.to_thread(file.read_text)

    text, objects = await asyncio.gather(log_of("text"), log_of("json"))
    assert all(json.loads(line) for line in objects.splitlines() if line.startswith("{"))
    for log in (text, objects):
        assert "DEBUG" in log
        assert log.count(" starts: ") >= 6, "the calls are in the log"
        assert "zq7xk" not in log, "neither keys, names nor words of the client"
        assert "I heard" not in log, "nor those of the engine"
        for content in (SAYS.sound, SAYS.picture):
            # However somebody might quote it: as it came, or decoded and as Python shows bytes.
            assert content[64:104] not in log
            assert repr(base64.b64decode(content)[64:80])[2:-1] not in log
