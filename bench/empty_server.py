"""A server that does nothing with what it hears: `python -m bench.empty_server serve --port PORT`.

The same web server and loop as ours around a socket whose frames are received and dropped: what a call costs on this
machine before any of our own code runs.
"""

import argparse
import json
from collections.abc import Sequence

from starlette.types import Receive, Scope, Send

from bench.web_server import say_ready, serve_bare

__all__ = ["main"]

_CREATED = json.dumps({"type": "session.created"})


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await say_ready(send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": _CREATED})
    while (await receive())["type"] != "websocket.disconnect":
        pass


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM. Flags of the real server are read over."""
    parser = argparse.ArgumentParser(prog="python -m bench.empty_server", description=__doc__)
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("--port", type=int, required=True)
    options, _ = parser.parse_known_args(argv)
    serve_bare(_app, options.port)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
