"""The way out into a socket, which the client or the web server may have closed already."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

from duplex.errors import ClientStalled
from realtime.dialects.base import Frame

__all__ = ["BROKEN", "at_most", "hang_up", "send"]

BROKEN = 1006
"""How a socket has ended that has not said how."""


async def send(socket: WebSocket, frame: Frame) -> None:
    """Send one frame. Raises `WebSocketDisconnect` when the socket is closed, whoever did it."""
    try:
        if isinstance(frame, bytes):
            await socket.send_bytes(frame)
        else:
            await socket.send_text(frame)
    except RuntimeError:
        # The web server closes by itself a socket that sends no pong, and takes whatever is sent then for a mistake.
        raise WebSocketDisconnect(BROKEN) from None


async def hang_up(socket: WebSocket, code: int, reason: str | None = None) -> None:
    """Close it. Raises as `send` does."""
    try:
        await socket.close(code, reason)
    except RuntimeError:
        raise WebSocketDisconnect(BROKEN) from None


@contextlib.asynccontextmanager
async def at_most(send_s: float) -> AsyncIterator[asyncio.Timeout]:
    """What is sent in the body leaves within so many seconds. Raises `ClientStalled` when it does not."""
    try:
        async with asyncio.timeout(send_s) as patience:
            try:
                yield patience
            finally:
                # It keeps the task; of an error that ends the task, this frame is a part.
                del patience
    except TimeoutError:
        raise ClientStalled(f"The client has not read for {send_s:.0f} s.") from None
