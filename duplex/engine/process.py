"""One engine process of ours: start it, know when it is ready, know at once when it is gone, and end it for certain."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from duplex.clock import Clock
from duplex.engine.launch import PIPE, SIGNAL
from duplex.engine.ports import LOOPBACK, require_free_port
from duplex.engine.spec import EngineCommand
from duplex.errors import EngineStartFailed
from duplex.log import ENGINE_OUTPUT
from duplex.tasks import wait_at_most

__all__ = ["EngineProcess", "OutputTail", "ProcessLimits", "wait_healthy"]

_log = logging.getLogger(__name__)
_output_log = logging.getLogger(ENGINE_OUTPUT)

_LAUNCHER = Path(__file__).with_name("launch.py")
_STDOUT = 1
_KEPT_LINES = 200
_QUOTED_LINES = 20
_LONGEST_LINE_BYTES = 2000
_HEALTH_TIMEOUT_S = 2.0
_AFTER_KILL_S = 5.0
_HURRIED_GRACE_S = 1.0
_LAST_OUTPUT_S = 0.5


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """How long each kind of waiting for the process may last, in seconds."""

    ready_s: float = 180.0
    """From the start to the first 200 of /health. The old server allowed the same; big models on slow disks need it."""
    progress_every_s: float = 10.0
    """Between two progress lines."""
    first_poll_s: float = 0.02
    """First pause between two health checks; it grows, so that a quick engine is noticed quickly."""
    last_poll_s: float = 1.0
    """Longest pause between two health checks."""
    stop_grace_s: float = 5.0
    """From SIGTERM to SIGKILL. A hung decode ignores SIGTERM for ever."""


class OutputTail:
    """The last lines of a byte stream, bounded in lines and in the length of each."""

    def __init__(self, *, lines: int = _KEPT_LINES, line_bytes: int = _LONGEST_LINE_BYTES) -> None:
        self._lines: deque[bytes] = deque(maxlen=lines)
        self._line_bytes = line_bytes
        self._partial = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take any piece of the stream; returns the lines it completed, each cut to the limit."""
        *complete, rest = (self._partial + chunk).split(b"\n")
        complete = [line[: self._line_bytes].rstrip(b"\r") for line in complete]
        self._partial = rest[: self._line_bytes]
        self._lines.extend(complete)
        return complete

    def last(self, count: int) -> list[str]:
        """The last lines, oldest first, the unfinished one included; bytes that are no UTF-8 become U+FFFD."""
        lines = [*self._lines, self._partial] if self._partial else list(self._lines)
        return [line.decode("utf-8", "replace") for line in lines[-count:]]


class _Child(asyncio.SubprocessProtocol):
    """Reads the output in the loop's own callbacks, so it is drained for as long as the loop runs."""

    def __init__(self, on_exit: Callable[[], None]) -> None:
        self.tail = OutputTail()
        self.exited = asyncio.Event()
        self.output_closed = asyncio.Event()
        self._on_exit = on_exit

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep the last lines; they are shown on request only, because they may hold what was said."""
        del fd
        lines = self.tail.feed(data)
        if _output_log.isEnabledFor(logging.DEBUG):
            for line in lines:
                _output_log.debug("%s", line.decode("utf-8", "replace"))

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """No more output can come, unless it is the child's input that is closed."""
        del exc
        if fd == _STDOUT:
            self.output_closed.set()

    def process_exited(self) -> None:
        """Called by the loop as soon as the child is reaped, also while a grandchild keeps the pipe open."""
        self.exited.set()
        self._on_exit()


class EngineProcess:
    """An engine child in a process group of its own.

    Use as `async with EngineProcess(…) as process:`. Entering starts it (`EngineStartFailed` when the port is taken or
    the program cannot be run), `wait_ready` returns when it answers, leaving stops it: SIGTERM, grace, SIGKILL of the
    whole group. `on_exit` is called once when it has ended, for whatever reason.
    """

    def __init__(
        self,
        command: EngineCommand,
        *,
        client: httpx.AsyncClient,
        clock: Clock,
        limits: ProcessLimits,
        on_progress: Callable[[str], None],
        on_exit: Callable[[], None],
        tether: str = SIGNAL if sys.platform == "linux" else PIPE,
    ) -> None:
        """`tether`: by which of the two ways of `launch` the child ends with us when we are killed."""
        self._command = command
        self._tether = tether
        self._client = client
        self._clock = clock
        self._limits = limits
        self._on_progress = on_progress
        self._on_exit = on_exit
        self._transport: asyncio.SubprocessTransport | None = None
        self._child: _Child | None = None

    @property
    def base_url(self) -> str:
        """Where it answers."""
        return f"http://{LOOPBACK}:{self._command.port}"

    @property
    def pid(self) -> int:
        """Process id, which is the id of its group too."""
        return self._running()[0].get_pid()

    @property
    def exited(self) -> bool:
        """True from the moment the process was seen to have ended."""
        return self._running()[1].exited.is_set()

    async def __aenter__(self) -> Self:
        await require_free_port(self._command.port)
        argv = self._command.argv
        if not os.access(argv[0], os.X_OK):
            raise EngineStartFailed(f"{argv[0]} cannot be executed. Check that it exists and `chmod +x` it.")
        if os.name == "posix":
            argv = (sys.executable, "-I", "-S", str(_LAUNCHER), self._tether, str(os.getpid()), *argv)
        try:
            self._transport, self._child = await asyncio.get_running_loop().subprocess_exec(
                lambda: _Child(self._after_exit),
                *argv,
                cwd=self._command.cwd,
                env=dict(self._command.environment),
                stdin=asyncio.subprocess.PIPE if self._tether == PIPE else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise EngineStartFailed(f"{self._command.argv[0]} could not be started: {error}") from error
        if self._child.exited.is_set():
            self._signal_group(signal.SIGKILL)
        _log.debug("engine process %d started on port %d", self.pid, self._command.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def wait_ready(self) -> None:
        """Return when /health says 200. Raises `EngineStartFailed` when it exits before, or takes too long."""
        child = self._running()[1]
        healthy = await wait_healthy(
            self._client,
            self.base_url,
            clock=self._clock,
            limits=self._limits,
            on_progress=self._on_progress,
            gone=child.exited,
        )
        if not healthy:
            raise EngineStartFailed(f"The engine {self.describe_exit()} while loading.{await self.quote_output()}")

    def describe_exit(self) -> str:
        """How it ended, in words that follow a subject: "exited with code 1", "was killed by SIGSEGV"."""
        code = self._running()[0].get_returncode()
        if code is None:
            return "is still running"
        if code >= 0:
            return f"exited with code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"

    async def quote_output(self) -> str:
        """Its last lines, to end an error message with. Only for an engine that never had a conversation."""
        child = self._running()[1]
        await wait_at_most(_LAST_OUTPUT_S, child.output_closed)
        lines = child.tail.last(_QUOTED_LINES)
        return "\nIts last output:" + "".join(f"\n  | {line}" for line in lines) if lines else " It printed nothing."

    async def stop(self) -> None:
        """End it for certain. Cancelled while it waits, it gives the process one second more and kills it then."""
        if self._transport is None or self._child is None:
            return
        exited = self._child.exited
        try:
            if not exited.is_set():
                self._signal_group(signal.SIGTERM)
                await wait_at_most(self._limits.stop_grace_s, exited)
        except asyncio.CancelledError:
            await wait_at_most(min(self._limits.stop_grace_s, _HURRIED_GRACE_S), exited)
            raise
        finally:
            if not exited.is_set():
                _log.warning("engine process %d did not end on SIGTERM, killing it", self.pid)
                self._signal_group(signal.SIGKILL)
        await wait_at_most(_AFTER_KILL_S, exited)
        self._transport.close()

    def _after_exit(self) -> None:
        # Now and never later: once the group is empty its number may be given to somebody else.
        self._signal_group(signal.SIGKILL)
        self._on_exit()

    def _signal_group(self, number: signal.Signals) -> None:
        if self._transport is None:
            return
        # macOS answers with PermissionError for a group whose members are all dead but not yet reaped.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._transport.get_pid(), number)

    def _running(self) -> tuple[asyncio.SubprocessTransport, _Child]:
        if self._transport is None or self._child is None:
            raise RuntimeError("the process was not started")
        return self._transport, self._child


async def wait_healthy(
    client: httpx.AsyncClient,
    base_url: str,
    *,
    clock: Clock,
    limits: ProcessLimits,
    on_progress: Callable[[str], None],
    gone: asyncio.Event,
) -> bool:
    """True when `/health` answers 200, False when `gone` is set first. 200 means no more than "weights loaded".

    Raises `EngineStartFailed` after `limits.ready_s`.
    """
    started_s = clock.now()
    progress_at_s = started_s + limits.progress_every_s
    pause_s = limits.first_poll_s
    while not gone.is_set():
        answer = await _health(client, base_url)
        if answer == "200":
            return True
        now_s = clock.now()
        waited_s = now_s - started_s
        if waited_s >= limits.ready_s:
            raise EngineStartFailed(
                f"The engine at {base_url} was not ready after {waited_s:.0f} s (last answer of /health: {answer})."
            )
        if now_s >= progress_at_s:
            on_progress(f"still loading, {waited_s:.0f} s")
            progress_at_s += limits.progress_every_s
        await wait_at_most(pause_s, gone)
        pause_s = min(pause_s * 1.5, limits.last_poll_s)
    return False


async def _health(client: httpx.AsyncClient, base_url: str) -> str:
    """The status of one health check as text, or why there is none."""
    try:
        response = await client.get(f"{base_url}/health", timeout=_HEALTH_TIMEOUT_S)
    except httpx.HTTPError as error:
        return type(error).__name__
    return str(response.status_code)
