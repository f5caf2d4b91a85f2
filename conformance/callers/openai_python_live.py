"""openai for Python: `AsyncOpenAI().live`, a stream of sound without turns."""

import asyncio
import base64

from openai import AsyncOpenAI
from openai.resources.live.live import AsyncLiveConnection

from conformance.callers.talk import Talk, run


async def converse(talk: Talk, host: str) -> None:
    """See `run`."""
    async with (
        AsyncOpenAI(api_key="none", websocket_base_url=f"ws://{host}/v1") as client,
        client.live.connect() as connection,
        asyncio.TaskGroup() as group,
    ):
        await connection.session.start(session={"model": "minicpm-o-4.5", "instructions": "Be brief."})
        group.create_task(_speak(talk, connection))
        listening = group.create_task(_listen(talk, connection))
        await talk.over.wait()
        listening.cancel()


async def _speak(talk: Talk, connection: AsyncLiveConnection) -> None:
    async for piece in talk.microphone():
        # Nothing may be said to a session that has not started.
        if talk.passed:
            await connection.session.input_audio.append(audio=base64.b64encode(piece).decode("ascii"))


async def _listen(talk: Talk, connection: AsyncLiveConnection) -> None:
    async for event in connection:
        if event.type == "session.started":
            talk.connected()
        elif event.type == "session.output_audio.delta":
            talk.streamed(base64.b64decode(event.delta))
        elif event.type == "error":
            talk.fail(f"{event.error.code}: {event.error.message}")


if __name__ == "__main__":
    run(converse)
