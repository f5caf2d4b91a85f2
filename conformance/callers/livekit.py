"""livekit-plugins-openai: its `RealtimeModel`, used as an agent's session uses it, without a LiveKit server."""

import asyncio

import aiohttp
from livekit import rtc
from livekit.agents.llm import GenerationCreatedEvent, InputSpeechStartedEvent, RealtimeModelError
from livekit.plugins.openai.realtime import RealtimeModel, RealtimeSession

from conformance.callers.talk import RATE_HZ, Talk, run


async def converse(talk: Talk, host: str) -> None:
    """See `run`."""
    async with aiohttp.ClientSession() as http:
        model = RealtimeModel(api_key="none", base_url=f"http://{host}/v1", http_session=http)
        session = model.session()
        try:
            await session.update_instructions("Be brief.")
            async with asyncio.TaskGroup() as group:
                _listen(talk, session, group)
                group.create_task(_speak(talk, session))
        finally:
            await session.aclose()
            await model.aclose()


async def _speak(talk: Talk, session: RealtimeSession) -> None:
    async for piece in talk.microphone():
        session.push_audio(rtc.AudioFrame(piece, RATE_HZ, 1, len(piece) // 2))


def _listen(talk: Talk, session: RealtimeSession, group: asyncio.TaskGroup) -> None:
    def started(event: dict[str, object]) -> None:
        # What an agent does not wait for, we do: it is the proof that our settings were taken.
        if event["type"] == "session.updated":
            talk.connected()

    def generated(event: GenerationCreatedEvent) -> None:
        group.create_task(_hear(talk, event))

    def speech(_: InputSpeechStartedEvent) -> None:
        # What an agent's session does when somebody speaks over an answer.
        session.interrupt()
        talk.interrupted()

    def failed(event: RealtimeModelError) -> None:
        talk.fail(str(event.error))

    session.on("openai_server_event_received", started)
    session.on("generation_created", generated)
    session.on("input_speech_started", speech)
    session.on("error", failed)


async def _hear(talk: Talk, generation: GenerationCreatedEvent) -> None:
    async for message in generation.message_stream:
        async for frame in message.audio_stream:
            if talk.over.is_set():
                return
            talk.heard(bytes(frame.data), message.message_id)


if __name__ == "__main__":
    run(converse)
