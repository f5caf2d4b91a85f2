"""Many callers wait for the one engine of a live server, and are served in their order.

All of them queue behind a call and talk meanwhile, though nobody hears them. Measured are the server's memory
with all of them waiting, what their waiting costs it, and whether they get the engine in the order they came.
"""

import asyncio
import contextlib
import json
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.errors import BenchError
from bench.figures import Goal, Row
from bench.server import Server, running_server

__all__ = ["Waiting", "queue_up", "rows"]

_MOST_MB = 300.0
_SERVED_WITHIN_S = 60.0
_PCM = bytes(640)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What was measured."""

    callers: int
    empty_mb: float
    waiting_mb: float
    cpu_share: float
    order: list[int]
    """Who was served, by the place in the queue."""
    per_call_ms: float


async def _queue_up(url: str, open_sockets: contextlib.AsyncExitStack) -> ClientConnection:
    """A caller who has been told that he waits. His library keeps nothing but the newest message."""
    socket = await open_sockets.enter_async_context(
        connect(url, compression=None, proxy=None, open_timeout=30, max_queue=1, ping_interval=None, close_timeout=1)
    )
    first = json.loads(await socket.recv())
    if first["type"] != "session.queued":
        raise BenchError(f"A caller who should wait was told {first['type']}.")
    return socket


async def _until_created(socket: ClientConnection) -> None:
    async with asyncio.timeout(_SERVED_WITHIN_S):
        async for message in socket:
            if isinstance(message, str) and json.loads(message)["type"] == "session.created":
                return
    raise BenchError("The server ended a call that waited.")


async def _speak(sockets: Sequence[ClientConnection]) -> None:
    """All who wait talk into nothing, each a frame in its turn, and read what they are told."""
    while True:
        for socket in sockets:
            await socket.send(_PCM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await socket.recv()
            await asyncio.sleep(0)


async def _serve_all(sockets: Sequence[ClientConnection], holder: ClientConnection) -> tuple[list[int], float]:
    """Everybody hangs up as soon as he is served; gives the order in which they were."""
    order: list[int] = []

    async def take_turn(number: int, socket: ClientConnection) -> None:
        await _until_created(socket)
        order.append(number)
        await socket.close()

    began_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number, socket in enumerate(sockets):
            group.create_task(take_turn(number, socket))
        await holder.close()
    return order, (time.monotonic() - began_s) / len(sockets)


async def _measure(server: Server, callers: int, watched_s: float) -> Waiting:
    url = server.url(conversation="simplex")
    empty_mb = server.memory_mb()
    async with contextlib.AsyncExitStack() as open_sockets:
        holder = await open_sockets.enter_async_context(connect(url, compression=None, proxy=None))
        await _until_created(holder)
        # One after the other, or nobody could say who came first.
        sockets = [await _queue_up(url, open_sockets) for _ in range(callers)]
        cpu_s, began_s = server.cpu_s(), time.monotonic()
        speaking = asyncio.create_task(_speak(sockets))
        await asyncio.sleep(watched_s)
        speaking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await speaking
        share = (server.cpu_s() - cpu_s) / (time.monotonic() - began_s)
        waiting_mb = server.memory_mb()
        order, per_call_s = await _serve_all(sockets, holder)
    return Waiting(callers, empty_mb, waiting_mb, share, order, per_call_s * 1000)


async def queue_up(callers: int, watched_s: float) -> Waiting:
    """So many callers, watched for some seconds and then served. Raises `BenchError` when one is lost."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The server inherits it: each caller is a descriptor on either side.
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, callers + 512)), hard))
    try:
        async with running_server("--engine", "parrot", "--queue", str(callers)) as server:
            return await _measure(server, callers, watched_s)
    except (ConnectionClosed, OSError) as error:
        raise BenchError(f"A caller in the queue was lost: {error}") from None


def rows(found: Waiting) -> Iterator[Row]:
    """The lines of the table."""
    late = [float(place != number) for place, number in enumerate(found.order)]
    unserved = [1.0] * (found.callers - len(found.order))
    what = f"{found.callers} callers in the queue"
    yield Row(f"{what}: not served in their order", "of n", [*late, *unserved], (Goal(1.0, 0.0),), digits=0)
    yield Row(f"{what}: memory of the server", "MB", [found.waiting_mb], (Goal(1.0, _MOST_MB, strict=True),))
    yield Row("  without them", "MB", [found.empty_mb])
    yield Row(f"{what}: CPU while they talk", "% of a core", [100 * found.cpu_share])
    yield Row(f"{what}: from one call to the next", "ms", [found.per_call_ms])
