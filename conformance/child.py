"""A client's script as a process of its own, which never outlives its time."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["run_script"]

_LAST_WORDS = 600


async def run_script(
    words: Sequence[str], *, folder: Path, environment: Mapping[str, str], timeout_s: float
) -> tuple[str, str | None]:
    """What it wrote to standard output, and how it failed: None when it ended by itself with 0.

    After `timeout_s`, or when this is cancelled, it is killed with all that it started.
    """
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    talking = asyncio.ensure_future(process.communicate())
    try:
        in_time, _ = await asyncio.wait([talking], timeout=timeout_s)
    finally:
        # Also what a script that ended has left running.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    printed, complained = await talking
    if not in_time:
        failure: str | None = f"The script had not ended after {timeout_s:.0f} s."
    elif process.returncode:
        last_words = complained.decode(errors="replace").strip()[-_LAST_WORDS:]
        failure = f"The script ended with {process.returncode}: {last_words}"
    else:
        failure = None
    return printed.decode(errors="replace"), failure
