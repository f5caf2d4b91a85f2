"""openai for Python: `AsyncOpenAI().beta.realtime`, which says the beta's words and reads no others."""

import asyncio
import base64

from openai import AsyncOpenAI
from openai.resources.beta.realtime.realtime import AsyncRealtimeConnection

from conformance.callers.talk import Talk, run


async def converse(talk: Talk, host: str) -> None:
    """See `run`."""
    async with (
        AsyncOpenAI(api_key="none", websocket_base_url=f"ws://{host}/v1") as client,
        client.beta.realtime.connect(model="minicpm-o-4.5") as connection,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(_speak(talk, connection))
        listening = group.create_task(_listen(talk, connection))
        await talk.over.wait()
        listening.cancel()


async def _speak(talk: Talk, connection: AsyncRealtimeConnection) -> None:
    async for piece in talk.microphone():
        await connection.input_audio_buffer.append(audio=base64.b64encode(piece).decode("ascii"))


async def _listen(talk: Talk, connection: AsyncRealtimeConnection) -> None:
    async for event in connection:
        if event.type == "session.created":
            await connection.session.update(session={"instructions": "Be brief.", "input_audio_format": "pcm16"})
        elif event.type == "session.updated":
            talk.connected()
        elif event.type == "response.audio.delta":
            talk.heard(base64.b64decode(event.delta), event.response_id)
        elif event.type == "response.done" and event.response.status == "cancelled":
            talk.interrupted()
        elif event.type == "error":
            talk.fail(f"{event.error.code}: {event.error.message}")


if __name__ == "__main__":
    run(converse)
