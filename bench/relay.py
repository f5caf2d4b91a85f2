"""A bare relay, the floor of what HTTP can do here: `python -m bench.relay serve --port PORT --directory DIR`.

The same web server and loop as ours around the least that hands a WAV over: a file is closed, its header says that it
is whole, base64, one line to the client. No session, no engine, no order, no break. A stream ends with the done flag.
"""

import argparse
import asyncio
import base64
import json
from collections.abc import Sequence
from pathlib import Path

import inotify_simple
import uvicorn
from starlette.types import Receive, Scope, Send

from duplex.engine.spool import DONE_FLAG
from duplex.wav import IncompleteWav, read_wav

__all__ = ["Relay", "main"]

_STATUS = json.dumps({"engines": [{"state": "ready"}]}).encode()
_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8")]
_KEEP_ALIVE_S = 75


class Relay:
    """One directory, one listener at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._inotify = inotify_simple.INotify(nonblocking=True)
        self._inotify.add_watch(directory, inotify_simple.flags.CLOSE_WRITE)
        self._closed: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET says that it is there, POST opens a stream."""
        if scope["method"] == "GET":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": _STATUS})
            return
        await receive()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._inotify.fileno(), self._look)
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        while (name := await self._closed.get()) != DONE_FLAG:
            event = self._take(self._directory / name)
            if event is not None:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _look(self) -> None:
        for event in self._inotify.read(timeout=0):
            self._closed.put_nowait(event.name)

    def _take(self, path: Path) -> bytes | None:
        try:
            pcm = read_wav(path.read_bytes()).pcm
        except IncompleteWav:
            return None
        path.unlink()
        return b"".join((b'data: {"chunk_data": {"wav": "', base64.b64encode(pcm), b'"}}\n\n'))


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM. Flags of the real server are read over."""
    parser = argparse.ArgumentParser(prog="python -m bench.relay", description=__doc__)
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    options, _ = parser.parse_known_args(argv)
    uvicorn.run(
        Relay(options.directory),
        port=options.port,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
