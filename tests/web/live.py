"""The real server as a child process, with its parrot."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

__all__ = ["ROOT", "RunningServer", "free_ports", "running_server"]

ROOT = Path(__file__).parents[2]

_STARTS_WITHIN_S = 60.0
_SETTINGS = ("OMNI_DUPLEX_", "REGISTER_URL")


@dataclass(frozen=True)
class RunningServer:
    """A server of ours as a child process."""

    port: int
    control_port: int
    process: asyncio.subprocess.Process
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def family(self) -> list[psutil.Process]:
        """The server and all its children."""
        server = psutil.Process(self.process.pid)
        return [server, *server.children(recursive=True)]

    def kill(self) -> None:
        """End it and all its children without a goodbye."""
        for process in self.family():
            process.kill()

    async def until_engine(self, *states: str, number: int = 0) -> None:
        """Wait until an engine is in one of the states; the server is asked again and again, as its page does."""
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(_STARTS_WITHIN_S):
            while (await client.get(f"{self.url}status")).json()["engines"][number]["state"] not in states:  # noqa: ASYNC110
                # Another process: there is no event to wait for, only its answers.
                await asyncio.sleep(0.05)


def free_ports() -> tuple[int, int, int]:
    """Of page, control and engine, for one server or for one after the other."""
    with ExitStack() as held:
        listeners = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        port, control_port, engine_port = (listener.getsockname()[1] for listener in listeners)
    return port, control_port, engine_port


@asynccontextmanager
async def running_server(
    log: Path, *flags: str, at: tuple[int, int, int] | None = None
) -> AsyncIterator[RunningServer]:
    """Start `omni-duplex serve` with the parrot; its engine is ready when this returns. `at`: see `free_ports`."""
    port, control_port, engine_port = at or free_ports()
    ports = ["--port", str(port), "--control-port", str(control_port), "--engine-port", str(engine_port)]
    arguments = ["-m", "web.cli", "serve", *ports, "--engine", "parrot", *flags]
    # The developer's own settings are not the test's, and the server refuses names it does not know.
    environ = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    # Calls that a test leaves open are not waited for at its end.
    environ["OMNI_DUPLEX_DRAIN_S"] = "0"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=ROOT, env=environ, stdout=output, stderr=output
        )
    server = RunningServer(port, control_port, process, log)
    try:
        try:
            transport = httpx.AsyncHTTPTransport(retries=6)  # with a growing pause in between: half a minute in all
            async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
                (await client.get(f"{server.url}status")).raise_for_status()
            # A page that was there before may have taken it before anybody looked.
            await server.until_engine("ready", "leased")
        except (httpx.HTTPError, TimeoutError):
            pytest.fail(f"the server did not come up:\n{await asyncio.to_thread(log.read_text)}")
        yield server
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
