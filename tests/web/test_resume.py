"""A lost connection to the real server and its parrot, and what is left of it when the server is stopped."""

import asyncio
import contextlib
import signal
from pathlib import Path

import psutil

from tests.realtime.server import Peer, peer
from tests.speech import silence, speech
from tests.web.live import running_server

RATE_HZ = 16_000
SIMPLEX = f"?audio=binary&conversation=simplex&input_rate={RATE_HZ}"


def received(client: Peer) -> int:
    number = 0
    for message in client.received:
        number = number + 1 if isinstance(message, bytes) else message.get("server_event_seq", number)
    return number


async def test_an_answer_of_the_parrot_is_taken_up_again_and_a_stop_waits_for_nobody(tmp_path: Path) -> None:
    async with running_server(tmp_path / "server.log") as server, contextlib.AsyncExitStack() as sockets:
        client = await sockets.enter_async_context(peer(server.address, SIMPLEX))
        created = await client.until("session.created")
        await client.send({"type": "session.event_ack", "server_event_seq": 1})
        sound = speech(1.2, RATE_HZ, 120.0) + silence(0.8, RATE_HZ)
        for at in range(0, len(sound), 640):
            await client.send(sound[at : at + 640])
        await client.wait(lambda: bool(client.sound))
        client.connection.transport.abort()
        await client.closed()
        # An engine that is kept for somebody is not free for anybody else.
        stranger = await sockets.enter_async_context(peer(server.address, SIMPLEX))
        await stranger.until("session.queued")
        again = await sockets.enter_async_context(peer(server.address, SIMPLEX + "&resume=1"))
        await again.send(
            {
                "type": "session.resume",
                "session_id": created["session"]["id"],
                "resume_token": created["resume_token"],
                "last_received_server_event_seq": received(client),
            }
        )
        done = await again.until("response.done")
        assert done["response"]["status"] == "completed"
        # The parrot repeats what it heard behind an earcon: less than that would be a hole.
        assert len(client.sound + again.sound) / 2 / 24_000 > 1.2
        again.connection.transport.abort()
        await again.closed()
        await server.until_engine("leased")
        family = server.family()
        server.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20.0):
            assert await server.process.wait() == 0
        assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)
        assert "Cancel" not in await asyncio.to_thread(server.log.read_text)
