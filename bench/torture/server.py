"""The server that is tortured: `python -m bench.torture.server serve --speed N`, with the flags of `omni-duplex serve`.

All of it is the product, with four differences. Its time passes faster. An engine is started again however often it
fails and a second later, because here they fail a thousand times as often as anybody would stand. An engine that is
slow to write a file, and a client that is slow to answer a ping, get some real time for it, because the work of other
processes is not hurried. And it counts itself: each line on its standard input is answered with a line of JSON.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from unittest import mock

import psutil

from bench.torture.hurry import hurried_clock, hurried_loop
from duplex.engine.limits import EngineLimits
from duplex.engine.restart import RestartPolicy
from web import app, overload
from web.cli import add_serve_flags, run_server, serve_settings

__all__ = ["main"]

_ENGINE = "duplex.engine.parrot"
"""A word of the command of each; other children decode uploads."""
_RESTART_DELAY_S = 1.0
_LEAST_QUIET_S = 0.6
"""Of real time without a new file, after which the audio counts as over."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m bench.torture.server", description=__doc__)
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("--speed", type=float, default=1.0)
    add_serve_flags(parser)
    arguments = parser.parse_args(argv)
    settings = serve_settings(arguments)
    # A loop itself holds its tasks but weakly.
    tasks: list[asyncio.Task[None]] = []

    def choose_loop() -> Callable[[], asyncio.AbstractEventLoop]:
        return make_loop

    def make_loop() -> asyncio.AbstractEventLoop:
        loop = hurried_loop(arguments.speed)
        # The runner cancels it at the end, with whatever else is left.
        tasks.append(loop.create_task(_count_on_request()))
        return loop

    quiet_s = max(EngineLimits().quiet_s, _LEAST_QUIET_S * arguments.speed)
    with (
        hurried_clock(arguments.speed),
        mock.patch("web.engines.EngineLimits", partial(EngineLimits, quiet_s=quiet_s)),
        mock.patch("web.app.PING_S", app.PING_S * arguments.speed),
        mock.patch("web.cli._loop_factory", choose_loop),
        mock.patch("web.overload.BEGINS_S", overload.BEGINS_S * arguments.speed),
        mock.patch("web.overload.ENDS_S", overload.ENDS_S * arguments.speed),
        mock.patch.object(RestartPolicy, "record_failure", _restart_always),
    ):
        return run_server(settings)


def _restart_always(_policy: RestartPolicy, _now_s: float) -> float:
    # A mock would keep every call.
    return _RESTART_DELAY_S


async def _count_on_request() -> None:
    requests = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(requests), sys.stdin)
    process = psutil.Process()
    while await requests.readline():
        # Exceptions keep their frames alive in circles, and what is garbage is no leak.
        gc.collect()
        print(json.dumps(_census(process)), flush=True)


def _census(process: psutil.Process) -> dict[str, object]:
    """What must not grow. A task is known by what it runs, not by its number."""
    children = process.children(recursive=True)
    spools = [Path(child.cwd()) for child in children if _ENGINE in child.cmdline()]
    tasks = Counter(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks())
    return {
        "tasks": dict(tasks),
        "fds": _open_files(process),
        "blocks": sys.getallocatedblocks(),
        "children": [child.pid for child in children],
        "spools": [str(spool) for spool in spools],
        "files": sum(1 for spool in spools for path in spool.rglob("*") if path.is_file()),
    }


def _open_files(process: psutil.Process) -> dict[str, int]:
    """How many of each kind, where the system tells kinds apart."""
    table = Path("/proc/self/fd")
    if not table.exists():
        return {"all": process.num_fds()}
    kinds: Counter[str] = Counter()
    for entry in table.iterdir():
        with contextlib.suppress(OSError):
            # "socket:[4711]", or a path.
            kinds[str(entry.readlink()).partition(":")[0]] += 1
    return dict(kinds)


if __name__ == "__main__":
    sys.exit(main())
