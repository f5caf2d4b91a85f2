"""A server to torture, and what it holds on to: children, files, tasks, memory, and words it should not have logged."""

import asyncio
import contextlib
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import psutil

from bench.errors import BenchError
from bench.server import child_environment
from bench.torture.client import switch
from bench.torture.plan import FAULT_NAMES
from duplex.engine.ports import LOOPBACK, free_port
from http_compat.decoders import DecodeLimits

__all__ = ["Census", "House", "leaks", "open_house"]

_PROJECT = Path(__file__).parents[2]
_READY_S = 60.0
_COUNTS_WITHIN_S = 60.0
_ENDS_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.1
_FILES_OF_AN_ENGINE = 20
"""What an engine that was used just now may have left in its spool, until the next conversation begins."""
_STEADY_FDS = 2
"""Connections of a moment: to an engine that was just used, and a scrape of ours."""
_STEADY_BLOCKS = 0.05
"""So many more may be caches."""
_DECODERS = DecodeLimits().processes
_FDS_OF_A_DECODER = 3
"""Two pipes, and what tells that it has ended."""
_COMPLAINTS = ("Traceback", "never retrieved", "was never awaited", "Task was destroyed", "Unclosed", "Exception in")
_WORDS = "I heard"
"""What the parrot says, which no log may hold."""


@dataclass(frozen=True, slots=True)
class Census:
    """What a server holds at one moment."""

    tasks: dict[str, int]
    fds: dict[str, int]
    """Open files by kind."""
    blocks: int
    """Pieces of memory that Python has in use. Resident memory has holes in it as well, which come and go."""
    children: list[int]
    spools: list[str]
    files: int
    running: int
    """Sessions, by the server's own count."""
    is_free: bool
    """Every engine is ready, and nobody waits."""


class House:
    """One server with its engines. Use `open_house`."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, engines: Sequence[int], log: IO[bytes]) -> None:
        self.port = port
        self.engines = engines
        self._process = process
        self._ps = psutil.Process(process.pid)
        self._log = log
        self._client = httpx.AsyncClient(trust_env=False, base_url=f"http://{LOOPBACK}:{port}")

    async def wait_ready(self) -> None:
        """Until every engine is. Raises `BenchError`."""
        give_up_s = time.monotonic() + _READY_S
        while time.monotonic() < give_up_s:
            if self._process.poll() is not None:
                raise BenchError("The server ended before it was ready.")
            with contextlib.suppress(httpx.TransportError):
                if (await self._status())["is_free"]:
                    return
            await asyncio.sleep(_LOOK_EVERY_S)
        raise BenchError(f"The server was not ready after {_READY_S:.0f} s.")

    def rss_mb(self) -> float:
        """Resident memory of the server without its engines."""
        return float(self._ps.memory_info().rss) / 2**20

    async def census(self) -> Census:
        """Count. Raises `BenchError` when the server has ended, or counts no more."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        try:
            async with asyncio.timeout(_COUNTS_WITHIN_S):
                counted = await self._read_object()
        except TimeoutError:
            raise BenchError(f"The server did not count what it holds within {_COUNTS_WITHIN_S:.0f} s.") from None
        return Census(**counted, running=await self._running(), is_free=(await self._status())["is_free"])

    async def _read_object(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        # What the server says to a person comes by the same way.
        while not (line := await asyncio.to_thread(self._process.stdout.readline)).startswith(b"{"):
            if not line:
                raise BenchError("The server has ended.")
        counted: dict[str, Any] = json.loads(line)
        return counted

    async def settled(self, before: Census | None, patience_s: float) -> Census:
        """The census when nothing runs any more and what is held is what was held `before`, or else the last one."""
        for port in self.engines:
            await switch(port, dict.fromkeys(FAULT_NAMES))
        give_up_s = time.monotonic() + patience_s
        while True:
            # Callers by HTTP who just went have left sessions that end when somebody wants their engine.
            await self._client.post("/omni/stop")
            now = await self.census()
            is_quiet = now.is_free and not now.running
            if (is_quiet and (before is None or not leaks(before, now))) or time.monotonic() > give_up_s:
                return now
            await asyncio.sleep(_LOOK_EVERY_S * 5)

    async def stop(self) -> list[str]:
        """SIGTERM. What was left behind, and what the log complains of."""
        last = await self.census()
        await self._client.aclose()
        self._process.terminate()
        try:
            code = await asyncio.to_thread(self._process.wait, _ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            return [f"the server did not end within {_ENDS_WITHIN_S:.0f} s of SIGTERM", *self._complaints()]
        left = [f"it ended with code {code}"] if code else []
        left += [f"child {pid} outlived the server" for pid in last.children if psutil.pid_exists(pid)]
        left += [f"{spool} was left behind" for spool in filter(_exists, last.spools)]
        return [*left, *self._complaints()]

    def _complaints(self) -> Iterator[str]:
        self._log.seek(0)
        text = self._log.read().decode(errors="replace")
        for what in _COMPLAINTS:
            if times := text.count(what):
                yield f"{times} times {what!r} in the log"
        if _WORDS in text:
            yield "the log holds what was said"

    async def _status(self) -> dict[str, bool]:
        status = (await self._client.get("/status")).json()
        engines = [engine["state"] for engine in status["engines"]]
        return {"is_free": all(state == "ready" for state in engines) and not status["queue"]["length"]}

    async def _running(self) -> int:
        lines = (await self._client.get("/metrics")).text.splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith("omni_duplex_running_sessions{"))


def leaks(before: Census, now: Census) -> list[str]:
    """What is held `now`, when all is quiet, and was not `before`."""
    found = []
    if not now.is_free:
        found.append("the pool does not end full")
    if now.running:
        found.append(f"{now.running} sessions run on")
    found += [
        f"task {name}: {now.tasks.get(name, 0)} instead of {before.tasks.get(name, 0)}"
        for name in sorted(before.tasks | now.tasks)
        if now.tasks.get(name, 0) > before.tasks.get(name, 0)
    ]
    decoders = len(now.children) - len(before.children)
    if sum(now.fds.values()) > sum(before.fds.values()) + _STEADY_FDS + _FDS_OF_A_DECODER * max(decoders, 0):
        found.append(f"file descriptors: {now.fds} instead of {before.fds}")
    if now.blocks > before.blocks * (1 + _STEADY_BLOCKS):
        found.append(f"{now.blocks} pieces of memory in use instead of {before.blocks}")
    if now.files > before.files + _FILES_OF_AN_ENGINE * len(before.children):
        found.append(f"{now.files} files in the spools instead of {before.files}")
    # They are started when they are first needed, and stay.
    if not 0 <= decoders <= _DECODERS:
        found.append(f"{len(now.children)} children instead of {len(before.children)}")
    return found


def _exists(path: str) -> bool:
    return Path(path).exists()


@contextlib.asynccontextmanager
async def open_house(engines: int, speed: float, *flags: str, log: Path | None = None) -> AsyncIterator[House]:
    """A server with parrots, all ready. Killed at the end, unless it was stopped."""
    port, first = free_port(), _free_run(engines)
    ports = ["--port", str(port), "--control-port", "0", "--engine-port", str(first), "--engines", str(engines)]
    hurry = ["--speed", f"{speed:g}", "--parrot-fault", f"hurry={speed:g}"]
    command = [sys.executable, "-m", "bench.torture.server", "serve", *ports, *hurry, *flags]
    with log.open("w+b") if log else tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - takes 2 ms, and asyncio's own reaps children behind psutil's back
            command,
            cwd=_PROJECT,
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
        )
        try:
            house = House(process, port, range(first, first + engines), output)
            await house.wait_ready()
            yield house
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()


def _free_run(count: int) -> int:
    """The first of so many free ports in a row, below those from which connections get theirs: an engine that was
    killed must find its own again."""
    choose = random.SystemRandom()
    for _ in range(100):
        first = choose.randrange(15_000, 30_000)
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            for port in range(first, first + count):
                held.enter_context(socket.socket()).bind((LOOPBACK, port))
            return first
    raise BenchError(f"There are no {count} free ports in a row.")
