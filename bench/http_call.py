"""One HTTP call against a scripted engine, and what its streams say."""

import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from bench.errors import BenchError
from bench.http_client import Answer, HttpClient, Piece, connected, json_body
from bench.rig import Rig
from duplex.engine.base import ENGINE_INPUT_RATE_HZ, Mode
from duplex.wav import write_wav

__all__ = ["Event", "HttpCall", "http_call", "read_event"]

_SECOND = base64.b64encode(write_wav(bytes(2 * ENGINE_INPUT_RATE_HZ), rate_hz=ENGINE_INPUT_RATE_HZ)).decode("ascii")


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a generate stream, understood."""

    at_s: float
    pcm: bytes = b""
    is_done: bool = False
    is_break: bool = False
    is_end: bool = False
    """The stream itself has ended."""

    @property
    def value(self) -> int:
        """Which WAV was heard: all its samples are the same. 0 without sound."""
        return int.from_bytes(self.pcm[:2], "little", signed=True)


def read_event(piece: Piece) -> Event:
    """What a piece of a stream says. Raises `BenchError` for an event of an error, or of sound from several WAVs."""
    if not piece.content:
        return Event(piece.at_s, is_end=True)
    body = json.loads(piece.content.removeprefix(b"data: "))
    if "error" in body:
        raise BenchError(f"The server ended an answer: {body['error']}")
    pcm = base64.b64decode(body.get("chunk_data", {}).get("wav", ""))
    if pcm != pcm[:2] * (len(pcm) // 2):
        raise BenchError("A chunk has sound of several WAVs.")
    return Event(piece.at_s, pcm, is_done=body.get("done") is True, is_break=body.get("break") is True)


class HttpCall:
    """What one caller does, over one kept connection."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def begin(self, mode: Mode, *, vision: bool = False) -> None:
        """A new session in place of this connection's last one."""
        media_type = "omni" if vision else "audio"
        body = {"media_type": media_type, "duplex_mode": mode is Mode.DUPLEX}
        await self._client.post("/omni/init_sys_prompt", json_body(body))

    async def prefill(self) -> Answer:
        """A second of silence, said to be the end of the question."""
        return await self._client.post("/omni/streaming_prefill", json_body({"audio": _SECOND, "is_last_chunk": True}))

    async def show(self, image: str) -> Answer:
        """A second of silence and a picture in base64."""
        return await self._client.post("/omni/streaming_prefill", json_body({"audio": _SECOND, "image": image}))

    async def generate(self) -> AsyncIterator[Piece]:
        """The stream of an answer, open."""
        return await self._client.open_stream("/omni/streaming_generate", b"{}")


@contextlib.asynccontextmanager
async def http_call(rig: Rig) -> AsyncIterator[HttpCall]:
    """A caller, alone with the engine, who says when the call is over."""
    async with rig.server.one_call(), connected(rig.server.port) as client:
        yield HttpCall(client)
        await client.post("/omni/stop")
