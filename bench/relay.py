"""A bare relay, the floor of what can be done here: `python -m bench.relay serve --port PORT --directory DIR`.

The web server and loop that the product runs on, around the least that hands a WAV over: it is found in one of the ways
of `bench.ways`, put into the words of a protocol, and sent. No session, no engine, no order, no break. POST `/stream`
opens a stream of one turn in the words of the HTTP interface, a WebSocket one without end in the words of a dialect;
`way` in the query says how WAVs are found, `words` names the dialect.
"""

import argparse
import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
from starlette.types import Message, Receive, Scope, Send

from bench.ways import WAYS
from bench.web_server import say_ready, serve_bare
from duplex.clock import ms_to_samples
from duplex.engine.base import ENGINE_OUTPUT_RATE_HZ

__all__ = ["Relay", "main", "words_for"]

_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8")]
_PIECE_BYTES = 2 * ms_to_samples(100, ENGINE_OUTPUT_RATE_HZ)
"""The longest piece of sound that ours sends over a WebSocket."""
_TICK_MS = 40
_TICK_BYTES = 2 * ms_to_samples(_TICK_MS, ENGINE_OUTPUT_RATE_HZ)
"""Live's, which sends in real time and silence where there is no sound."""
_OVER: Message = {"type": "websocket.send", "text": '{"type":"response.done"}'}


class Relay:
    """One directory with a folder for each way, in which one listener at a time is told of everything."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET says that it is there, POST and a WebSocket are for sound."""
        if scope["type"] == "http" and scope["method"] == "GET":
            await say_ready(send)
            return
        asked = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        found = WAYS[asked["way"]](self._folder(asked["way"]))
        await receive()
        async with contextlib.aclosing(found):
            if scope["type"] == "http":
                await _stream(found, send)
                return
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": '{"type":"session.created"}'})
            tell = _tell_by_the_clock if asked["words"] == "live" else _tell
            telling = asyncio.create_task(tell(found, asked["words"], send))
            while (await receive())["type"] != "websocket.disconnect":
                pass
            telling.cancel()
            await asyncio.wait([telling])

    def _folder(self, way: str) -> Path:
        folder = self._directory / way
        folder.mkdir(exist_ok=True)
        return folder


async def _stream(found: AsyncGenerator[bytes | None, None], send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    async for pcm in found:
        if pcm is None:
            break
        event = b"".join((b'data: {"chunk_data": {"wav": "', base64.b64encode(pcm), b'"}}\n\n'))
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _tell(found: AsyncGenerator[bytes | None, None], words: str, send: Send) -> None:
    async for pcm in found:
        for message in (_OVER,) if pcm is None else words_for(words, pcm):
            await send(message)


async def _tell_by_the_clock(found: AsyncGenerator[bytes | None, None], words: str, send: Send) -> None:
    sound = bytearray()

    async def gather() -> None:
        async for pcm in found:
            sound.extend(pcm or b"")

    loop = asyncio.get_running_loop()
    due_s = loop.time()
    async with asyncio.TaskGroup() as group:
        group.create_task(gather())
        while True:
            (message,) = words_for(words, bytes(sound[:_TICK_BYTES]).ljust(_TICK_BYTES, b"\0"))
            del sound[:_TICK_BYTES]
            await send(message)
            due_s += _TICK_MS / 1000
            await asyncio.sleep(max(0.0, due_s - loop.time()))


def words_for(words: str, pcm: bytes) -> Iterator[Message]:
    """Sound as this dialect says it, in pieces, and nothing beside it."""
    for at in range(0, len(pcm), _PIECE_BYTES):
        piece = pcm[at : at + _PIECE_BYTES]
        if words == "binary":
            yield {"type": "websocket.send", "bytes": piece}
            continue
        key = "audio" if words == "minicpmo" else "delta"
        raw = (np.frombuffer(piece, "<i2") / np.float32(32_768)).tobytes() if words == "minicpmo" else piece
        event = {"type": "response.output_audio.delta", key: base64.b64encode(raw).decode("ascii")}
        yield {"type": "websocket.send", "text": json.dumps(event)}


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM. Flags of the real server are read over."""
    parser = argparse.ArgumentParser(prog="python -m bench.relay", description=__doc__)
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    options, _ = parser.parse_known_args(argv)
    serve_bare(Relay(options.directory), options.port)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
