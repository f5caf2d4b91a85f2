"""The server under test, as a process of its own, started the way a person starts it."""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import httpx
import psutil

from bench.errors import BenchError
from duplex.engine.ports import LOOPBACK, free_port

__all__ = ["Server", "child_environment", "running_server", "stopped_at_the_end"]

_PROJECT = Path(__file__).parent.parent
_READY_LIMIT_S = 60.0
_STOP_LIMIT_S = 20.0
_LOOK_EVERY_S = 0.01
_OURS = "OMNI_DUPLEX_"
_INHERITED = ("LLAMACPP_ROOT", "MODEL_DIR", "LLM_MODEL", "REF_AUDIO", "REGISTER_URL", "OMNI_PARROT_FAULTS")


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is ready."""

    port: int
    process: psutil.Process
    start_s: float
    """From spawning it to the first `ready` in `/status`."""
    certificate: Path | None = None
    """What clients have to trust; None when it speaks without TLS."""
    _calls: asyncio.Lock = field(default_factory=asyncio.Lock)

    def cpu_s(self) -> float:
        """CPU time of the server so far, user and system, without its engine."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def memory_mb(self) -> float:
        """Resident memory of the server without its engine."""
        return float(self.process.memory_info().rss) / 2**20

    @contextlib.asynccontextmanager
    async def one_call(self) -> AsyncIterator[None]:
        """Wait until nobody else calls and the engine can be leased, and keep others from calling in the body."""
        async with self._calls:
            await _ready(self.port, lambda: not self.process.is_running(), secure=self.certificate is not None)
            yield

    def url(self, **query: str) -> str:
        """Where calls connect."""
        chosen = {"audio": "binary", "input_rate": "16000", "output_rate": "24000"} | query
        return f"ws{'s' if self.certificate else ''}://{LOOPBACK}:{self.port}/v1/realtime?{urlencode(chosen)}"


def child_environment() -> dict[str, str]:
    """Our environment without anything that would change the server's settings, but for one: it waits for no call."""
    kept = {name: value for name, value in os.environ.items() if not (name.startswith(_OURS) or name in _INHERITED)}
    return {**kept, "OMNI_DUPLEX_DRAIN_S": "0"}


@contextlib.asynccontextmanager
async def running_server(*flags: str, module: str = "web.cli", state_dir: Path | None = None) -> AsyncIterator[Server]:
    """A server with `flags`, ready for calls. Raises `BenchError` when it does not get ready.

    `module` is run as one; ours is a person's `omni-duplex serve`. With `state_dir` it speaks TLS, by a certificate
    that it makes and keeps there.
    """
    port = free_port()
    ports = ["--port", str(port), "--control-port", "0", "--engine-port", "0"]
    secured = ["--tls", "self-signed", "--state-dir", str(state_dir)] if state_dir else []
    certificate = state_dir / "tls" / "certificate.pem" if state_dir else None
    command = [sys.executable, "-m", module, "serve", *ports, *secured, *flags]
    with tempfile.TemporaryFile() as output:
        began_s = time.monotonic()
        async with stopped_at_the_end(command, output.fileno()) as process:
            await _ready(port, lambda: process.poll() is not None, secure=certificate is not None)
            yield Server(port, psutil.Process(process.pid), time.monotonic() - began_s, certificate)


@contextlib.asynccontextmanager
async def stopped_at_the_end(command: Sequence[str], output: int) -> AsyncIterator["subprocess.Popen[bytes]"]:
    """A child that is asked to end when the body has, and made to if it will not."""
    process = subprocess.Popen(  # noqa: ASYNC220 - takes 2 ms, and asyncio's own reaps children behind psutil's back
        command, cwd=_PROJECT, env=child_environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, _STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _ready(port: int, has_ended: Callable[[], bool], *, secure: bool) -> None:
    give_up_s = time.monotonic() + _READY_LIMIT_S
    url = f"http{'s' if secure else ''}://{LOOPBACK}:{port}/status"
    # The certificate is made while we wait, and nobody else can answer on the port of our own child.
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        while time.monotonic() < give_up_s:
            if has_ended():
                raise BenchError("The server ended before it was ready.")
            with contextlib.suppress(httpx.TransportError):
                status = (await client.get(url)).json()
                if any(engine["state"] == "ready" for engine in status["engines"]):
                    return
            await asyncio.sleep(_LOOK_EVERY_S)
    raise BenchError(f"The server was not ready after {_READY_LIMIT_S:.0f} s.")
