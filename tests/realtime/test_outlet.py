import asyncio
from collections.abc import Awaitable, Callable

import pytest
from fastapi import WebSocket
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from duplex.errors import ClientStalled
from realtime.outlet import at_most, hang_up, send


async def closed_by_the_server(_: Message) -> None:
    # What uvicorn does after it has closed a socket whose client sent no pong.
    raise RuntimeError("Unexpected ASGI message 'websocket.send', after sending 'websocket.close'.")


@pytest.mark.parametrize("leave", [lambda s: send(s, "{}"), lambda s: send(s, b"\0\0"), lambda s: hang_up(s, 1000)])
async def test_a_socket_that_the_web_server_has_closed_is_a_lost_one(
    leave: Callable[[WebSocket], Awaitable[None]],
) -> None:
    async def receive() -> Message:
        return {"type": "websocket.connect"}

    sent: list[Message] = []

    async def deliver(message: Message) -> None:
        if message["type"] != "websocket.accept":
            await closed_by_the_server(message)
        sent.append(message)

    socket = WebSocket({"type": "websocket"}, receive, deliver)
    await socket.accept()
    with pytest.raises(WebSocketDisconnect):
        await leave(socket)
    assert [message["type"] for message in sent] == ["websocket.accept"]


async def test_what_does_not_leave_in_time_stalls() -> None:
    with pytest.raises(ClientStalled, match="has not read for 0 s"):
        async with at_most(0.0):
            await asyncio.Event().wait()
    async with at_most(60.0):
        pass
