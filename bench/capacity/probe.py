"""Looks at a server from outside: how old are frames when the server has decided about them?"""

import json
import time
from array import array

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bench.capacity.stamps import age_us, read_stamp

__all__ = ["PROBE_PATH", "Probe"]

PROBE_PATH = "/probe"


class Probe:
    """Wraps an application. Whoever asks for the next message has decided about the one before.

    What it finds is counted from the moment at which the client hands the frame to its kernel, so the way through both
    kernels and the wait for the loop are part of it. GET `PROBE_PATH` tells the ages in microseconds since the last
    time it was asked.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._ages_us = array("L")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] == "http" and scope["path"] == PROBE_PATH:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            ages_us, self._ages_us = self._ages_us, array("L")
            await send({"type": "http.response.body", "body": json.dumps(ages_us.tolist()).encode()})
            return
        stamped_us: int | None = None

        async def receive_next() -> Message:
            nonlocal stamped_us
            if stamped_us is not None:
                self._ages_us.append(age_us(stamped_us, time.monotonic_ns() // 1000))
            message = await receive()
            frame = message.get("bytes")
            stamped_us = read_stamp(frame) if frame else None
            return message

        await self._app(scope, receive_next if scope["type"] == "websocket" else receive, send)
