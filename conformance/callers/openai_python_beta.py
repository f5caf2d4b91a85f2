"""openai for Python: `AsyncOpenAI().beta.realtime`, which says the beta's words and reads no others."""

from conformance.callers.openai_python import attend, client_of
from conformance.callers.talk import Talk, run


async def converse(talk: Talk, host: str) -> None:
    """See `run`."""
    async with client_of(host) as client, client.beta.realtime.connect(model="minicpm-o-4.5") as connection:
        session = {"instructions": "Be brief.", "input_audio_format": "pcm16"}
        await attend(talk, connection, session=session, sound="response.audio.delta")


if __name__ == "__main__":
    run(converse)
