"""What OpenAI's events cost beside raw sound, on one server and in one run.

Two clients call in turn and say the same: one in the binary dialect, one that is openai-python as it is installed.
"""

import asyncio
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence

from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from bench.caller import calling
from bench.encoding import DELTA_MS
from bench.errors import BenchError
from bench.figures import Goal, Row, percentile
from bench.microphone import Microphone
from bench.server import Server
from bench.speech import RATE_HZ, Utterance, synthetic_speech
from duplex.engine.ports import LOOPBACK

__all__ = ["first_audio_ms", "rows"]

_LIMIT_S = 20.0
_QUERY = {"conversation": "simplex", "input_rate": str(RATE_HZ)}
"""Simplex answers when the user has paused; a duplex model does on its own beat of a second."""
_AUDIO = "response.output_audio.delta"
_BINARY, _STOCK = "binary", "openai-python"


async def first_audio_ms(server: Server, calls: int) -> dict[str, list[float]]:
    """From `session.created` to the first sound of the answer, at each client. They take turns in who goes first."""
    measured: dict[str, list[float]] = {_BINARY: [], _STOCK: []}
    for number in range(calls):
        for name in (_BINARY, _STOCK) if number % 2 else (_STOCK, _BINARY):
            async with server.one_call():
                call = _binary_call if name == _BINARY else _stock_call
                measured[name].append(1000 * await call(server))
    return measured


def _microphone() -> Microphone:
    microphone = Microphone()
    said = Utterance("synthetic", synthetic_speech(1.0, pitch_hz=130.0, seed=0))
    microphone.say(said, onset=said.onset)
    return microphone


async def _binary_call(server: Server) -> float:
    async with calling(server.url(**_QUERY), _microphone()) as caller:
        replies = caller.log.replies
        await caller.until(lambda: bool(replies and replies[0].first_audio_s), "first audio", _LIMIT_S)
        return (replies[0].first_audio_s or 0.0) - caller.heard_at_s(0)


async def _stock_call(server: Server) -> float:
    async with (
        AsyncOpenAI(api_key="none", websocket_base_url=f"ws://{LOOPBACK}:{server.port}/v1") as client,
        client.realtime.connect(model="minicpm-o-4.5", extra_query=dict(_QUERY)) as connection,
        asyncio.TaskGroup() as group,
    ):
        await _until(connection, "session.created")
        began_s = time.monotonic()
        speaking = group.create_task(_speak(connection, began_s))
        await _until(connection, _AUDIO)
        took_s = time.monotonic() - began_s
        speaking.cancel()
        return took_s


async def _until(connection: AsyncRealtimeConnection, kind: str) -> None:
    """Read events as an application does, sound decoded. Raises `BenchError` when this kind of event does not come."""
    try:
        async with asyncio.timeout(_LIMIT_S):
            async for event in connection:
                if event.type == "error":
                    raise BenchError(f"The server refused something: {event.error}")
                if event.type == "response.output_audio.delta":
                    b64decode(event.delta)
                if event.type == kind:
                    return
    except TimeoutError:
        pass
    raise BenchError(f"{_STOCK} got no {kind} within {_LIMIT_S:.0f} s.")


async def _speak(connection: AsyncRealtimeConnection, began_s: float) -> None:
    microphone = _microphone()
    while True:
        frame = microphone.next_frame()
        await asyncio.sleep(max(0.0, began_s + microphone.position / RATE_HZ - time.monotonic()))
        await connection.input_audio_buffer.append(audio=b64encode(frame).decode("ascii"))


def rows(heard_ms: Mapping[str, Sequence[float]], encoded_us: Mapping[str, Sequence[float]]) -> Iterator[Row]:
    """The lines of the table."""
    for name, values in heard_ms.items():
        yield Row(f"session.created → first audio, {name}", "ms", values)
    later = percentile(heard_ms[_STOCK], 0.5) - percentile(heard_ms[_BINARY], 0.5)
    yield Row(f"  {_STOCK}'s median less that of {_BINARY}", "ms", [later], (Goal(0.5, 5.0),))
    for name, values in encoded_us.items():
        yield Row(f"encoding {DELTA_MS} ms, {name}", "µs", values, (Goal(0.5, 50.0),), tail=0.99)
