import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.torture.blocking import LoopWatch

ROOT = Path(__file__).parents[3]


def ours(body: str) -> Callable[[], Any]:
    """A function as if it were in a module of the core."""
    names: dict[str, Any] = {}
    code = f"import asyncio, socket, subprocess, sys, time\n{body}"
    exec(compile(code, str(ROOT / "duplex" / "odd.py"), "exec"), names)
    function: Callable[[], Any] = names["run"]
    return function


def watched(work: Callable[[], Any], busy_s: float = 60.0) -> list[str]:
    """What is found when `work` is called by an event loop."""

    async def run() -> None:
        loop, called = asyncio.get_running_loop(), asyncio.Event()
        loop.call_soon(work)
        loop.call_soon(called.set)
        await called.wait()

    with LoopWatch(busy_s) as watch:
        asyncio.run(run())
    return watch.found


def test_a_nap_of_ours_is_found_and_one_of_a_test_is_not() -> None:
    assert watched(ours("def run(): time.sleep(0.001)")) == [
        "time.sleep in the event loop's thread, at duplex/odd.py:2",
    ]
    assert watched(lambda: time.sleep(0.001)) == []


def test_a_process_that_is_waited_for_is_found_and_one_of_asyncio_is_not() -> None:
    assert len(watched(ours("def run(): subprocess.run([sys.executable, '-c', ''])"))) == 1
    starts = ours("async def run(): await (await asyncio.create_subprocess_exec(sys.executable, '-c', '')).wait()")
    with LoopWatch() as watch:
        asyncio.run(starts())
    assert watch.found == []


def test_a_connection_that_waits_is_found() -> None:
    found = watched(
        ours(
            "def run():\n"
            " with socket.create_server(('127.0.0.1', 0)) as s, socket.socket() as c: c.connect(s.getsockname())"
        )
    )
    assert [line.partition(" in ")[0] for line in found] == ["socket.connect"]


def test_long_computing_is_found_by_its_own_time() -> None:
    burns = ours("def run():\n end = time.thread_time() + 0.02\n while time.thread_time() < end: pass")
    (found,) = watched(burns, busy_s=0.01)
    assert found.startswith("the event loop was busy for 0.0")


def test_nothing_is_found_outside_of_a_loop_or_after_the_watch() -> None:
    nap = ours("def run(): time.sleep(0.001)")
    with LoopWatch() as watch:
        nap()
    subprocess.run([sys.executable, "-c", ""], check=True)
    assert watch.found == []
