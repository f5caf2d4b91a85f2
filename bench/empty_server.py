"""A server that does nothing with what it hears: `python -m bench.empty_server serve --port PORT`.

The same web server and loop as ours around a socket whose frames are received and dropped: what a call costs on this
machine before any of our own code runs.
"""

import argparse
import json
from collections.abc import Sequence

import uvicorn
from starlette.types import Receive, Scope, Send

__all__ = ["main"]

_STATUS = json.dumps({"engines": [{"state": "ready"}]}).encode()
_CREATED = json.dumps({"type": "session.created"})


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": _STATUS})
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
    uvicorn.run(
        _app,
        port=options.port,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        lifespan="off",
        log_level="warning",
        access_log=False,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
