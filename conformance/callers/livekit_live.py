"""livekit-plugins-openai: its `GPTLiveModel`, used as the framework's adapter uses it, without a LiveKit server."""

import asyncio

import aiohttp
from livekit import rtc
from livekit.agents.llm import RealtimeModelError
from livekit.plugins.openai.realtime import GPTLiveModel, GPTLiveSession

from conformance.callers.talk import RATE_HZ, Talk, run


async def converse(talk: Talk, host: str) -> None:
    """See `run`."""
    async with aiohttp.ClientSession() as http:
        model = GPTLiveModel(api_key="none", base_url=f"http://{host}/v1", http_session=http)
        session = model.session()
        _watch(talk, session)
        try:
            await session._update_session(instructions="Be brief.")  # noqa: SLF001 - as the adapter does, or nothing starts
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(_listen(talk, session))
                async for piece in talk.microphone():
                    session.push_audio(rtc.AudioFrame(piece, RATE_HZ, 1, len(piece) // 2))
                listening.cancel()
        finally:
            await session.aclose()
            await model.aclose()


def _watch(talk: Talk, session: GPTLiveSession) -> None:
    def received(event: dict[str, object]) -> None:
        if event["type"] == "session.started":
            talk.connected()

    def failed(event: RealtimeModelError) -> None:
        talk.fail(str(event.error))

    session.on("openai_server_event_received", received)
    session.on("error", failed)


async def _listen(talk: Talk, session: GPTLiveSession) -> None:
    async for sound in session.audio_stream:
        talk.streamed(bytes(sound.frame.data))


if __name__ == "__main__":
    run(converse)
