"""openai for Python: `AsyncOpenAI().realtime`."""

import asyncio
import base64

from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from conformance.callers.talk import Talk, run


async def converse(talk: Talk, host: str) -> None:
    """See `run`."""
    async with (
        AsyncOpenAI(api_key="none", websocket_base_url=f"ws://{host}/v1") as client,
        client.realtime.connect(model="minicpm-o-4.5") as connection,
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
            await connection.session.update(session={"type": "realtime", "instructions": "Be brief."})
        elif event.type == "session.updated":
            talk.connected()
        elif event.type == "response.output_audio.delta":
            talk.heard(base64.b64decode(event.delta), event.response_id)
        elif event.type == "response.done" and event.response.status == "cancelled":
            talk.interrupted()
        elif event.type == "error":
            talk.fail(f"{event.error.code}: {event.error.message}")


if __name__ == "__main__":
    run(converse)
