"""openai-agents for Python: a `RealtimeRunner` with its own WebSocket model."""

import asyncio

from agents.realtime import RealtimeAgent, RealtimeRunner, RealtimeSession

from conformance.callers.talk import Talk, run


async def converse(talk: Talk, host: str) -> None:
    """See `run`."""
    agent = RealtimeAgent(name="parrot", instructions="Be brief.")
    runner = RealtimeRunner(agent)
    url = f"ws://{host}/v1/realtime?model=minicpm-o-4.5"
    session = await runner.run(model_config={"api_key": "none", "url": url})
    async with session, asyncio.TaskGroup() as group:
        talk.connected()
        group.create_task(_speak(talk, session))
        listening = group.create_task(_listen(talk, session))
        await talk.over.wait()
        listening.cancel()


async def _speak(talk: Talk, session: RealtimeSession) -> None:
    async for piece in talk.microphone():
        await session.send_audio(piece)


async def _listen(talk: Talk, session: RealtimeSession) -> None:
    async for event in session:
        if event.type == "audio":
            talk.heard(event.audio.data, event.audio.response_id)
        elif event.type == "audio_interrupted":
            talk.interrupted()
        elif event.type == "error":
            talk.fail(str(event.error))


if __name__ == "__main__":
    run(converse)
