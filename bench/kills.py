"""`python -m bench.kills`: the engine of a call is killed in the middle of an answer, and the caller talks on.

Measured is the time from the kill to the first sound of the next answer, on the same socket, beside the time until the
server has an engine again. The question is said meanwhile: half a second of speech, and the silence that ends it. A
hundred kills, with `QUICK=1` in the environment ten.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
from rich.console import Console

from bench.caller import Caller, calling
from bench.errors import BenchError, run_measurement
from bench.figures import Goal, Row
from bench.microphone import FRAME_SAMPLES, Microphone
from bench.report import machine, show, write_results
from bench.server import Server, running_server
from bench.speech import RATE_HZ, Utterance, synthetic_speech
from duplex.engine.ports import LOOPBACK

__all__ = ["main", "rows"]

_RESULTS = Path(__file__).parent.parent / "build" / "bench-kills.json"
_KILLS, _QUICK_KILLS = 100, 10
_KILLS_A_CALL = 2
"""The wait before a restart doubles with each failure that follows soon; more of them would measure little else."""
_WITHIN_MS = 1000.0
_QUERY = {"conversation": "simplex", "input_rate": str(RATE_HZ)}
_ANSWER_S = 20
_KILLED_AFTER_S = 0.5
"""Of an answer, while the engine makes the rest of it."""
_LIMIT_S = 60.0
_LOOK_EVERY_S = 0.01
_WIDTH = 120
_MISSED, _NO_RESULT = 1, 2


async def _measure(kills: int) -> list[tuple[float, float]]:
    """For each kill the seconds until there was an engine again, and until the next answer's first sound."""
    measured: list[tuple[float, float]] = []
    while len(measured) < kills:
        async with (
            running_server("--engine", "parrot", "--parrot-fault", f"answer_s={_ANSWER_S}") as server,
            calling(server.url(**_QUERY), Microphone()) as caller,
            httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{server.port}", trust_env=False) as client,
        ):
            _say(caller, 3.0)
            of_this_call = range(min(_KILLS_A_CALL, kills - len(measured)))
            measured += [await _kill(server, caller, client) for _ in of_this_call]
    return measured


async def _kill(server: Server, caller: Caller, client: httpx.AsyncClient) -> tuple[float, float]:
    replies = caller.log.replies
    await caller.until(lambda: _is_answering(caller), "answer", _LIMIT_S)
    broken = replies[-1]
    (engine,) = server.process.children()
    killed_s = time.monotonic()
    engine.kill()
    _say(caller, 0.5)
    async with asyncio.TaskGroup() as group:
        restart = group.create_task(_until_engine(client))
        await caller.until(lambda: replies[-1] is not broken and bool(replies[-1].pcm), "next answer", _LIMIT_S)
    if broken.status != "failed":
        raise BenchError(f"The answer that lost its engine ended as {broken.status}.")
    return restart.result() - killed_s, (replies[-1].first_audio_s or 0.0) - killed_s


def _is_answering(caller: Caller) -> bool:
    reply = caller.log.active
    return reply is not None and reply.duration_s > _KILLED_AFTER_S


def _say(caller: Caller, seconds: float) -> None:
    """From now on, so many seconds of speech."""
    said = Utterance("synthetic", synthetic_speech(seconds, pitch_hz=130.0, seed=0))
    caller.microphone.say(said, onset=caller.microphone.position + FRAME_SAMPLES + said.onset)


async def _until_engine(client: httpx.AsyncClient) -> float:
    """When the server has noticed that its engine is gone and has another one. The call gets that at once."""
    has_noticed = False
    while True:
        state = (await client.get("/status")).json()["engines"][0]["state"]
        has_noticed = has_noticed or state == "restarting"
        if has_noticed and state in {"ready", "leased"}:
            return time.monotonic()
        await asyncio.sleep(_LOOK_EVERY_S)


def rows(measured: Sequence[tuple[float, float]]) -> Iterator[Row]:
    """The lines of the table."""
    yield Row("killed → an engine again", "ms", [1000 * restart_s for restart_s, _ in measured])
    yield Row("killed → first sound of the next answer", "ms", [1000 * answer_s for _, answer_s in measured])
    later_ms = [1000 * (answer_s - restart_s) for restart_s, answer_s in measured]
    yield Row("  the second less the first", "ms", later_ms, (Goal(1.0, _WITHIN_MS),))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure. Returns 0 when the goal is met by every kill, 1 when it is missed, 2 when there is no result."""
    quick = os.environ.get("QUICK", "0") not in {"", "0"}
    parser = argparse.ArgumentParser(prog="python -m bench.kills", description="Kill the engines of running calls.")
    parser.add_argument("--kills", type=int, default=_QUICK_KILLS if quick else _KILLS, metavar="N")
    parser.add_argument(
        "--out", type=Path, default=_RESULTS, help="where the results go (default: build/bench-kills.json)"
    )
    options = parser.parse_args(argv)
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    load_before = os.getloadavg()
    measured = run_measurement(_measure(options.kills), console)
    if measured is None:
        return _NO_RESULT
    table = list(rows(measured))
    load = {"before": load_before, "after": os.getloadavg()}
    write_results(options.out, table, {"machine": machine(), "quick": quick, "load_average": load})
    show(console, table, [])
    return 0 if all(row.is_met for row in table) else _MISSED


if __name__ == "__main__":
    sys.exit(main())
