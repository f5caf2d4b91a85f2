"""The web server and loop that the product runs on, around applications that do next to nothing: the floor."""

import json

import uvicorn
from starlette.types import ASGIApp, Send

__all__ = ["STATUS", "say_ready", "serve_bare"]

STATUS: dict[str, object] = {"engines": [{"state": "ready"}]}
"""What a server that has no engine answers to those who wait for one."""

_KEEP_ALIVE_S = 75


async def say_ready(send: Send) -> None:
    """Answer a GET as a server whose engine is ready."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(STATUS).encode()})


def serve_bare(app: ASGIApp, port: int) -> None:
    """Serve on loopback until SIGTERM. Nothing of the product is in it: a floor that moved with it would hide that."""
    uvicorn.run(
        app,
        port=port,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=10.0,
        ws_ping_timeout=10.0,
        timeout_keep_alive=_KEEP_ALIVE_S,
        backlog=1024,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )
