"""Other servers' protocols, spoken with the parrot over real sockets: an answer, an interruption, a second turn.

The sound comes faster than real time, so that how loud the answer is meanwhile means nothing: no echo is looked for.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from tests.realtime.server import Peer, peer
from tests.speech import silence, speech
from tests.web.live import RunningServer, running_server

RATE_HZ = 16_000
PIECE_BYTES = RATE_HZ // 10 * 2


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    async with running_server(tmp_path_factory.mktemp("protocols") / "server.log") as running:
        yield running


async def until_last_session(server: RunningServer, numbers: str) -> None:
    """What was logged of the session that ended last, which is only known when its engine is free again."""
    await server.until_engine("ready")
    ends = [line for line in server.log.read_text().splitlines() if " ends after " in line]
    assert numbers in ends[-1]


class LiveCaller:
    """OpenAI's own client, unmodified."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.events: list[Any] = []
        self.heard = bytearray()
        self._news = asyncio.Condition()

    async def listen(self) -> None:
        async for event in self.connection:
            async with self._news:
                self.events.append(event)
                if event.type == "session.output_audio.delta":
                    self.heard += base64.b64decode(event.delta)
                self._news.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20.0), self._news:
            await self._news.wait_for(condition)

    async def say(self, seconds: float) -> None:
        """Speech and the silence that ends it, faster than real time: only its order matters here."""
        sound = speech(seconds) + silence(1.2)
        for at in range(0, len(sound), PIECE_BYTES):
            audio = base64.b64encode(sound[at : at + PIECE_BYTES]).decode()
            await self.connection.send({"type": "session.input_audio.append", "audio": audio})

    def last(self, seconds: float) -> bytes:
        return bytes(self.heard[-round(seconds * RATE_HZ) * 2 :])


async def test_live_with_openais_own_client(server: RunningServer) -> None:
    start: Any = {"model": "m", "audio": {"format": {"type": "audio/pcm", "rate": RATE_HZ}}}
    async with (
        AsyncOpenAI(api_key="none", base_url=f"{server.url}v1") as client,
        client.live.connect(extra_query={"echo": "cancelled"}) as connection,
        asyncio.TaskGroup() as tasks,
    ):
        caller = LiveCaller(connection)
        listening = tasks.create_task(caller.listen())
        await connection.send({"type": "session.start", "session": start})
        await caller.until(lambda: len(caller.heard) > RATE_HZ // 2)
        assert not any(caller.heard), "silence, and not nothing"
        await caller.say(4.0)
        await caller.until(lambda: any(caller.last(0.5)))
        await caller.say(2.0)
        await caller.until(lambda: not any(caller.last(0.3)))
        silent_from = len(caller.heard)
        await caller.until(lambda: any(caller.last(0.3)))
        await connection.send({"type": "session.close"})
        await listening
    deltas = [event for event in caller.events if event.type == "session.output_audio.delta"]
    assert {len(event.delta) for event in deltas} == {len(deltas[0].delta)}
    texts = [event for event in caller.events if event.type == "session.output_transcript.delta"]
    assert "I heard 4.0 s of speech" in texts[0].delta
    second = next(event for event in texts if "I heard 2.0 s of speech" in event.delta)
    # The second answer begins where its words say; between the break and it there is nothing but zeros.
    second_at = second.start_ms * RATE_HZ // 1000 * 2
    assert silent_from <= second_at
    assert not any(caller.heard[silent_from:second_at])
    closed = caller.events[-1]
    assert (closed.type, closed.reason) == ("session.closed", "close_requested")
    assert len(caller.heard) == round(closed.usage.seconds * RATE_HZ) * 2
    await until_last_session(server, "2 responses, 1 breaks")


def floats(sound: bytes) -> str:
    samples = np.frombuffer(sound, "<i2").astype("<f4") / 32_768
    return base64.b64encode(samples.tobytes()).decode()


async def test_the_demos_protocol(server: RunningServer) -> None:
    async def say(client: Peer, seconds: float) -> None:
        """Slices of a second, with the silence that ends it."""
        sound = speech(seconds) + silence(2.0)
        for at in range(0, len(sound), RATE_HZ * 2):
            await client.send({"type": "input_audio_buffer.append", "audio": floats(sound[at : at + RATE_HZ * 2])})

    def loud(client: Peer, since: int) -> bool:
        return any(event.get("audio") for event in client.events[since:])

    async with peer(server.address, "?mode=audio&echo=cancelled") as client:
        await client.until("session.queue_done")
        await client.send({"type": "session.update", "session": {"instructions": "Be brief."}})
        await client.until("session.created")
        await say(client, 4.0)
        await client.wait(lambda: loud(client, 0))
        broken_at = len(client.events)
        await client.send({"type": "input_audio_buffer.append", "audio": floats(silence(1.0)), "force_listen": True})
        await client.until("response.cancelled")
        cancelled_at = client.types.index("response.cancelled")
        await say(client, 2.0)
        await client.wait(lambda: any(event.get("end_of_turn") for event in client.events[cancelled_at:]))
        await client.send({"type": "session.close", "reason": "user_stop"})
        assert await client.closed() == 1000
    assert client.types[:2] == ["session.queue_done", "session.created"]
    assert cancelled_at >= broken_at
    answer = [event for event in client.events[cancelled_at:] if event["type"] == "response.output_audio.delta"]
    assert "I heard 2.0 s of speech" in "".join(event["text"] for event in answer)
    sound = np.frombuffer(b"".join(base64.b64decode(event["audio"]) for event in answer), "<f4")
    assert 0.05 < np.abs(sound).max() <= 1.0
    assert len(sound) > 2 * 24_000, "the earcon and the user's own two seconds"
    assert client.events[-1] == {"type": "session.closed", "reason": "stopped"}
    await until_last_session(server, "2 responses, 1 breaks")
