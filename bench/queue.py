"""`python -m bench.queue`: many callers wait for the one engine of a live server, and are served in their order.

A thousand sockets queue behind a call and talk meanwhile, though nobody hears them. Measured are the server's memory
with all of them waiting, what their waiting costs it, and whether they get the engine in the order they came.
"""

import argparse
import asyncio
import contextlib
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.errors import BenchError
from bench.server import Server, running_server

__all__ = ["main"]

_MOST_MB = 300.0
_WATCHED_S = 10.0
_SERVED_WITHIN_S = 60.0
_PCM = bytes(640)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured."""

    callers: int
    empty_mb: float
    waiting_mb: float
    cpu_share: float
    in_order: bool
    served: int
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


async def _measure(server: Server, callers: int) -> Figures:
    url = server.url(conversation="simplex")
    empty_mb = server.memory_mb()
    async with contextlib.AsyncExitStack() as open_sockets:
        holder = await open_sockets.enter_async_context(connect(url, compression=None, proxy=None))
        await _until_created(holder)
        # One after the other, or nobody could say who came first.
        sockets = [await _queue_up(url, open_sockets) for _ in range(callers)]
        cpu_s, began_s = server.cpu_s(), time.monotonic()
        speaking = asyncio.create_task(_speak(sockets))
        await asyncio.sleep(_WATCHED_S)
        speaking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await speaking
        share = (server.cpu_s() - cpu_s) / (time.monotonic() - began_s)
        waiting_mb = server.memory_mb()
        order, per_call_s = await _serve_all(sockets, holder)
    return Figures(callers, empty_mb, waiting_mb, share, order == sorted(order), len(order), per_call_s * 1000)


async def _run(callers: int) -> Figures:
    async with running_server("--engine", "parrot", "--queue", str(callers)) as server:
        return await _measure(server, callers)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 when all were served in order and memory stayed below its bound."""
    parser = argparse.ArgumentParser(prog="python -m bench.queue", description=__doc__)
    parser.add_argument("--callers", type=int, default=1000, metavar="N")
    callers = parser.parse_args(argv).callers
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The server inherits it: each caller is a descriptor on either side.
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, callers + 512)), hard))
    try:
        figures = asyncio.run(_run(callers))
    except (BenchError, ConnectionClosed, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    met = figures.in_order and figures.served == callers and figures.waiting_mb < _MOST_MB
    print(f"callers waiting            {figures.callers}")
    print(f"served in their order      {figures.served if figures.in_order else 'no'}")
    print(f"memory of the server       {figures.empty_mb:.0f} MB empty, {figures.waiting_mb:.0f} MB with all of them")
    print(f"CPU while they talk        {figures.cpu_share * 100:.0f} % of a core")
    print(f"from one call to the next  {figures.per_call_ms:.1f} ms")
    print("met" if met else f"missed: all in order, below {_MOST_MB:.0f} MB")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
