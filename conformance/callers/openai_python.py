"""openai for Python: `AsyncOpenAI().realtime`."""

import asyncio
import base64
from typing import Any

from openai import AsyncOpenAI

from conformance.callers.talk import Talk, run

__all__ = ["attend", "client_of"]


async def converse(talk: Talk, host: str) -> None:
    """See `run`."""
    async with client_of(host) as client, client.realtime.connect(model="minicpm-o-4.5") as connection:
        session = {"type": "realtime", "instructions": "Be brief."}
        await attend(talk, connection, session=session, sound="response.output_audio.delta")


def client_of(host: str) -> AsyncOpenAI:
    """The client, told where the server is."""
    return AsyncOpenAI(api_key="none", websocket_base_url=f"ws://{host}/v1")


async def attend(talk: Talk, connection: Any, *, session: dict[str, str], sound: str) -> None:
    """Talk through a connection of one of the client's interfaces, whose types have the same names and no parent.

    `session` is what to ask for first, `sound` the type of the events that bring it.
    """
    async with asyncio.TaskGroup() as group:
        group.create_task(_speak(talk, connection))
        listening = group.create_task(_listen(talk, connection, session, sound))
        await talk.over.wait()
        listening.cancel()


async def _speak(talk: Talk, connection: Any) -> None:
    async for piece in talk.microphone():
        await connection.input_audio_buffer.append(audio=base64.b64encode(piece).decode("ascii"))


async def _listen(talk: Talk, connection: Any, session: dict[str, str], sound: str) -> None:
    async for event in connection:
        if event.type == "session.created":
            await connection.session.update(session=session)
        elif event.type == "session.updated":
            talk.connected()
        elif event.type == sound:
            talk.heard(base64.b64decode(event.delta), event.response_id)
        elif event.type == "response.done" and event.response.status == "cancelled":
            talk.interrupted()
        elif event.type == "error":
            talk.fail(f"{event.error.code}: {event.error.message}")


if __name__ == "__main__":
    run(converse)
