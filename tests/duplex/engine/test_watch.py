import asyncio
import os
import sys
from pathlib import Path

import pytest

from duplex.engine.watch import InotifyWatcher, PollingWatcher, make_watcher

NEVER_S = 3600.0
"""A re-check that cannot be what woke a test."""

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


async def _woken(watcher: InotifyWatcher, directory: Path) -> "asyncio.Task[None]":
    watch = watcher.watch(directory)
    task = asyncio.ensure_future(watch.wait())
    await asyncio.sleep(0)
    assert not task.done()
    return task


@linux_only
@pytest.mark.parametrize("how", ["written", "renamed"])
async def test_a_finished_file_wakes(tmp_path: Path, how: str) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    (tmp_path / "ready").touch()
    watcher = InotifyWatcher(recheck_s=NEVER_S)
    task = await _woken(watcher, spool)
    if how == "written":
        (spool / "wav_0.wav").write_bytes(b"x")
    else:
        os.rename(tmp_path / "ready", spool / "wav_0.wav")  # noqa: PTH104 - the system call is the subject
    await task
    watcher.close()


@linux_only
async def test_watches_share_one_handle(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    watcher = InotifyWatcher(recheck_s=NEVER_S)
    watches = []
    for number in range(20):
        directory = tmp_path / str(number)
        directory.mkdir()
        watches.append(watcher.watch(directory))
    twice = watcher.watch(tmp_path / "0")
    assert len(os.listdir("/proc/self/fd")) == before + 1  # noqa: PTH208
    watches[0].close()
    task = asyncio.ensure_future(twice.wait())
    await asyncio.sleep(0)
    (tmp_path / "0" / "file").touch()
    await task
    twice.close()
    twice.close()
    watcher.close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@linux_only
async def test_a_directory_that_vanishes_wakes(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    watcher = InotifyWatcher(recheck_s=NEVER_S)
    task = await _woken(watcher, spool)
    spool.rmdir()
    await task
    watcher.close()


@linux_only
async def test_a_directory_that_is_not_there_is_polled(tmp_path: Path) -> None:
    watcher = InotifyWatcher(recheck_s=NEVER_S)
    await watcher.watch(tmp_path / "missing").wait()
    watcher.close()


@linux_only
def test_a_watcher_serves_one_loop_after_another(tmp_path: Path) -> None:
    watcher = InotifyWatcher(recheck_s=NEVER_S)

    async def once(name: str) -> None:
        task = await _woken(watcher, tmp_path)
        (tmp_path / name).touch()
        await task

    asyncio.run(once("a"))
    asyncio.run(once("b"))
    watcher.close()


async def test_nudge_and_close_end_a_wait(tmp_path: Path) -> None:
    watcher = PollingWatcher(recheck_s=NEVER_S)
    watch = watcher.watch(tmp_path)
    watch.nudge()
    await watch.wait()
    task = asyncio.ensure_future(watch.wait())
    await asyncio.sleep(0)
    assert not task.done()
    watch.close()
    await task
    watcher.close()


async def test_without_a_sign_the_wait_ends_by_itself(tmp_path: Path) -> None:
    await PollingWatcher(recheck_s=0.001).watch(tmp_path).wait()


def test_linux_gets_inotify() -> None:
    watcher = make_watcher()
    assert isinstance(watcher, InotifyWatcher if sys.platform == "linux" else PollingWatcher)
    watcher.close()


@linux_only
async def test_a_watch_may_outlive_its_watcher(tmp_path: Path) -> None:
    watcher = InotifyWatcher(recheck_s=NEVER_S)
    watch = watcher.watch(tmp_path)
    watcher.close()
    watch.close()
    await watch.wait()
