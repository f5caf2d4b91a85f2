import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from duplex.clock import Clock, MonotonicClock
from duplex.engine.launch import PIPE, SIGNAL
from duplex.engine.ports import free_port, require_free_port
from duplex.engine.process import EngineProcess, OutputTail, ProcessLimits
from duplex.engine.spec import EngineCommand
from duplex.errors import EngineStartFailed
from duplex.log import ENGINE_OUTPUT
from tests.duplex.engine.children import (
    DEAF_TO_SIGTERM,
    EXITS_WHILE_LOADING,
    HEALTHY,
    LOADING_FOR_EVER,
    NOISY,
    HandClock,
    command,
)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.fixture(params=[SIGNAL, PIPE])
def tether(request: pytest.FixtureRequest) -> str:
    """By which a child ends with its parent."""
    if request.param == SIGNAL and sys.platform != "linux":
        pytest.skip("the signal is Linux's")
    return str(request.param)


class Child:
    """An `EngineProcess` and what it reported."""

    def __init__(
        self,
        script: str | EngineCommand,
        client: httpx.AsyncClient,
        cwd: Path,
        *,
        clock: Clock | None = None,
        limits: ProcessLimits | None = None,
        tether: str = PIPE,
    ) -> None:
        self.progress: list[str] = []
        self.ended = asyncio.Event()
        self.process = EngineProcess(
            script if isinstance(script, EngineCommand) else command(script, free_port(), cwd),
            client=client,
            clock=clock or MonotonicClock(),
            limits=limits or ProcessLimits(),
            on_progress=self.progress.append,
            on_exit=self.ended.set,
            tether=tether,
        )


async def test_it_becomes_ready_and_ends_on_sigterm(client: httpx.AsyncClient, tmp_path: Path, tether: str) -> None:
    child = Child(HEALTHY, client, tmp_path, tether=tether)
    async with child.process as process:
        await process.wait_ready()
        pid = process.pid
        assert os.getpgid(pid) == pid
        assert not process.exited
        assert process.describe_exit() == "is still running"
    assert process.describe_exit() == "was killed by SIGTERM"
    assert child.ended.is_set()
    assert not psutil.pid_exists(pid)


async def test_its_exit_while_loading_is_reported_with_its_output(
    client: httpx.AsyncClient, tmp_path: Path, tether: str
) -> None:
    async with Child(EXITS_WHILE_LOADING, client, tmp_path, tether=tether).process as process:
        with pytest.raises(EngineStartFailed) as failure:
            await process.wait_ready()
    assert "exited with code 3 while loading" in str(failure.value)
    assert "| error: cannot load the model" in str(failure.value)


async def test_a_child_that_never_gets_ready_meets_the_deadline(client: httpx.AsyncClient, tmp_path: Path) -> None:
    child = Child(LOADING_FOR_EVER, client, tmp_path, clock=HandClock(step_s=30.0))
    async with child.process as process:
        with pytest.raises(EngineStartFailed, match=r"not ready after 1[89]0 s"):
            await process.wait_ready()
    assert child.progress[0] == "still loading, 30 s"
    assert len(child.progress) >= 4


async def test_ten_megabytes_of_output_do_not_stall_it(client: httpx.AsyncClient, tmp_path: Path) -> None:
    async with Child(NOISY, client, tmp_path).process as process:
        await process.wait_ready()
        quoted = await process.quote_output() if process.exited else process.describe_exit()
    assert quoted == "is still running"
    lines = (await process.quote_output()).splitlines()
    assert lines[-1].endswith("| listening")
    assert "99999 xxx" in lines[-2]


async def test_one_that_ignores_sigterm_is_killed(
    client: httpx.AsyncClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = ProcessLimits(stop_grace_s=0.05)
    async with Child(DEAF_TO_SIGTERM, client, tmp_path, limits=limits).process as process:
        await process.wait_ready()
    assert process.describe_exit() == "was killed by SIGKILL"
    assert "did not end on SIGTERM" in caplog.text


async def test_cancelling_the_stop_kills_soon(client: httpx.AsyncClient, tmp_path: Path) -> None:
    child = Child(DEAF_TO_SIGTERM, client, tmp_path, limits=ProcessLimits(stop_grace_s=3600.0))
    async with child.process as process:
        await process.wait_ready()
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(process.stop())
            # The first starts the task, which then waits; the second ends its grace, the third its hurried grace.
            for _ in range(3):
                await asyncio.sleep(0)
                stopping.cancel()
        await child.ended.wait()
    assert process.describe_exit() == "was killed by SIGKILL"


async def test_a_child_that_ignores_sigterm_is_watched_still(client: httpx.AsyncClient, tmp_path: Path) -> None:
    child = Child(DEAF_TO_SIGTERM, client, tmp_path, tether=PIPE)
    async with child.process as process:
        await process.wait_ready()
        os.killpg(process.pid, signal.SIGTERM)
        _input_of(process).close()
        await child.ended.wait()
    assert process.describe_exit() == "was killed by SIGKILL"


async def test_who_watches_the_child_ends_with_it(client: httpx.AsyncClient, tmp_path: Path) -> None:
    async with Child(HEALTHY, client, tmp_path, tether=PIPE).process as process:
        await process.wait_ready()
        os.kill(process.pid, signal.SIGKILL)
        # The pipe is closed when nobody holds its other end any more.
        while not _input_of(process).is_closing():  # noqa: ASYNC110 - asyncio has no event for it
            await asyncio.sleep(0)


def _input_of(process: EngineProcess) -> asyncio.WriteTransport:
    assert process._transport is not None
    pipe = process._transport.get_pipe_transport(0)
    assert isinstance(pipe, asyncio.WriteTransport)
    return pipe


async def test_grandchildren_end_with_the_group(client: httpx.AsyncClient, tmp_path: Path) -> None:
    forks = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
    async with Child(f"{forks}{HEALTHY}", client, tmp_path).process as process:
        await process.wait_ready()
        os.kill(process.pid, signal.SIGKILL)
        assert process._child is not None
        # Closed only when the last holder of the pipe is gone, and the grandchild holds it too.
        await process._child.output_closed.wait()


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
async def test_a_port_conflict_is_found_before_the_start(
    client: httpx.AsyncClient, tmp_path: Path, address: str
) -> None:
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        squatter.bind((address, 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        with pytest.raises(EngineStartFailed, match=f"Port {port} .*--engine-port"):
            await Child(command(HEALTHY, port, tmp_path), client, tmp_path).process.__aenter__()


async def test_a_bound_port_that_does_not_listen_is_a_conflict() -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        with pytest.raises(EngineStartFailed):
            await require_free_port(squatter.getsockname()[1])


async def test_connections_that_were_just_closed_are_no_conflict() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as caller:
            accepted, _ = listener.accept()
            accepted.close()
            assert caller.recv(1) == b""
    await require_free_port(port)


async def test_a_program_that_cannot_run(client: httpx.AsyncClient, tmp_path: Path) -> None:
    bare = EngineCommand(argv=(str(tmp_path / "absent"),), cwd=tmp_path, environment={}, port=free_port())
    with pytest.raises(EngineStartFailed, match="cannot be executed"):
        await Child(bare, client, tmp_path).process.__aenter__()


async def test_output_is_logged_at_debug_only(
    client: httpx.AsyncClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger=ENGINE_OUTPUT):
        async with Child(HEALTHY, client, tmp_path).process as process:
            await process.wait_ready()
    assert {record.levelno for record in caplog.records if "listening" in record.getMessage()} == {logging.DEBUG}


def test_the_child_dies_with_a_parent_that_was_killed(tmp_path: Path, tether: str) -> None:
    supervisor = f"""
import asyncio, httpx, pathlib
from duplex.clock import MonotonicClock
from duplex.engine.process import EngineProcess, ProcessLimits
from tests.duplex.engine.children import HEALTHY, command
from duplex.engine.ports import free_port

async def main():
    async with httpx.AsyncClient(trust_env=False) as client:
        async with EngineProcess(command(HEALTHY, free_port(), pathlib.Path({str(tmp_path)!r})), client=client,
            clock=MonotonicClock(), limits=ProcessLimits(), on_progress=print, on_exit=lambda: None,
            tether={tether!r}) as process:
            await process.wait_ready()
            print(process.base_url, flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", supervisor], cwd=root, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline().rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            parent.kill()
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b"", "the engine answers still"


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_the_tail_is_the_same_for_any_pieces(size: int) -> None:
    stream = b"".join(b"line %d\r\n" % number for number in range(50)) + b"half"
    tail = OutputTail(lines=5)
    for start in range(0, len(stream), size):
        tail.feed(stream[start : start + size])
    assert tail.last(9) == ["line 45", "line 46", "line 47", "line 48", "line 49", "half"]
    assert tail.last(2) == ["line 49", "half"]


def test_the_tail_is_bounded_in_the_length_of_a_line_too() -> None:
    tail = OutputTail(lines=2, line_bytes=10)
    for _ in range(1000):
        tail.feed(b"x" * 1000)
    assert tail.last(5) == ["x" * 10]
    assert tail.feed(b"\n\xff\n") == [b"x" * 10, b"\xff"]
    assert tail.last(1) == ["�"]
