"""OpenAI's own Python client, unmodified, against the route."""

import asyncio
import base64

from openai import AsyncOpenAI

from duplex.engine.base import EngineAudio
from tests.duplex.fake_engine import FakeEngine, answer, is_answer
from tests.duplex.talk import LOUD
from tests.realtime.server import serving
from tests.realtime.test_endpoint import Pool, app


async def test_openai_python_speaks_hears_interrupts_and_goes_on() -> None:
    long_answer = answer("A long story.", 30.0)[:2]
    assert isinstance(long_answer[1], EngineAudio)
    pool = Pool(FakeEngine(long_answer, answer("Next.", 0.2)))
    async with serving(app(pool)) as address, AsyncOpenAI(api_key="none") as client:
        client.websocket_base_url = f"ws://{address}/v1"
        async with client.realtime.connect(model="minicpm-o-4.5") as connection, asyncio.timeout(20):
            await connection.session.update(session={"type": "realtime", "instructions": "Be brief."})

            async def say(pcm: bytes) -> None:
                await connection.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())

            await say(LOUD * 24_000 + bytes(48_000))
            statuses: list[str | None] = []
            sound = b""
            interrupted = False
            async for event in connection:
                if event.type == "response.output_audio.delta":
                    sound += base64.b64decode(event.delta)
                    if not interrupted:
                        interrupted = True
                        await say(LOUD * 24_000 + bytes(48_000))
                elif event.type == "response.done":
                    statuses.append(event.response.status)
                    if event.response.status == "cancelled":
                        sound = b""
                    else:
                        break
            assert statuses == ["cancelled", "completed"]
            assert is_answer(sound, 0.2)
