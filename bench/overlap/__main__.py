"""`python -m bench.overlap`: speak over answers of a live server in every way there is, and print what came of it.

Exits 0 when every promise is kept, 1 when one is not, 2 without a result.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.errors import BenchError, run_measurement
from bench.overlap.detectors import DETECTOR_COLUMNS, compare
from bench.overlap.figures import COLUMNS, cells, promises
from bench.overlap.home import Echo
from bench.overlap.plots import draw
from bench.overlap.sounds import SPEECH_DBFS, Clip, Kind, babble, clips, clips_of, steady_noise
from bench.overlap.trials import ANSWER_S, Condition, Overlap, overlap
from bench.report import machine
from bench.server import Server, running_server
from duplex.barge_in import BargeIn

__all__ = ["main"]

_PROJECT = Path(__file__).parents[2]
_RESULTS = _PROJECT / "bench" / "results"
_MISSED, _NO_RESULT = 1, 2
_NOISE_S = 20.0
_WIDTH = 190
_HOW_MANY = {
    Kind.INTERRUPTION: 20,
    Kind.BACKCHANNEL: 12,
    Kind.COUGH: 6,
    Kind.SLAM: 4,
    Kind.TRANSIENT: 4,
    Kind.CLICKS: 2,
}
_CALLS_AT_A_TIME = 3
_PARROT = ("--engine", "parrot", "--parrot-fault", f"answer_s={ANSWER_S}")


def _conditions() -> list[tuple[Condition, bool]]:
    """Every call, and whether the promises are about it."""

    def steady(colour: str, snr_db: float) -> Condition:
        bed = steady_noise(colour, _NOISE_S, dbfs=SPEECH_DBFS - snr_db)
        return Condition(f"{colour} noise, {snr_db:g} dB", BargeIn.BALANCED, noise=bed)

    quiet = Condition("clean", BargeIn.BALANCED)
    promised = [quiet, steady("white", 20.0), steady("pink", 10.0)]
    others = [steady("pink", 5.0), steady("white", 0.0)]
    others.append(Condition("babble, 20 dB", BargeIn.BALANCED, noise=babble(_NOISE_S, dbfs=SPEECH_DBFS - 20.0)))
    others += [
        Condition(f"echo {db:g} dB, {delay_ms} ms", BargeIn.BALANCED, echo=Echo(db, delay_ms))
        for db, delay_ms in ((-20.0, 20), (-12.0, 100), (-6.0, 300))
    ]
    readiness = [
        (Condition(each.name, preset, each.noise), True)
        for preset in (BargeIn.EAGER, BargeIn.CALM)
        for each in (promised[0], promised[2])
    ]
    return [*((each, True) for each in promised), *readiness, *((each, False) for each in others)]


def _said(number: int, data: Path | None) -> list[Clip]:
    """The clips of one call, in an order of its own: kinds mixed, and two of a kind not neighbours for long."""
    kinds = {kind: clips(kind)[:count] for kind, count in _HOW_MANY.items()}
    if data is not None:
        kinds = {Kind.INTERRUPTION: clips_of(data)}
    mixed = [(place / len(found), clip) for found in kinds.values() for place, clip in enumerate(found)]
    ordered = [clip for _, clip in sorted(mixed, key=lambda pair: pair[0])]
    shift = number * 7 % len(ordered)
    return [*ordered[shift:], *ordered[:shift]]


async def _run(flags: Sequence[str], data: Path | None, only: str, console: Console) -> list[tuple[Overlap, bool]]:
    waiting = [(number, each) for number, each in enumerate(_conditions()) if only in each[0].name]
    question = clips(Kind.INTERRUPTION)[3]
    done: list[tuple[int, Overlap, bool]] = []

    async def work(server: Server) -> None:
        while waiting:
            number, (condition, promised) = waiting.pop(0)
            console.print(f"measuring: {condition.barge_in}, {condition.name}", style="dim", highlight=False)
            try:
                call = await overlap(server, condition, _said(number, data), question, seed=number)
            except BenchError as error:
                console.print(f"no result: {condition.barge_in}, {condition.name}: {error}", highlight=False)
                continue
            done.append((number, call, promised))

    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(running_server(*_PARROT, *flags)) for _ in range(_CALLS_AT_A_TIME)]
        async with asyncio.TaskGroup() as group:
            for server in servers:
                group.create_task(work(server))
    return [(call, promised) for _, call, promised in sorted(done, key=lambda each: each[0])]


def _show(console: Console, calls: Sequence[tuple[Overlap, bool]]) -> bool:
    table = Table(*COLUMNS, box=box.SIMPLE_HEAD, pad_edge=False)
    for call, _ in calls:
        table.add_row(*map(Text, cells(call)))
    console.print(table)
    kept = Table("promised for clean to 10 dB", "measured", "at most", "met", box=box.SIMPLE_HEAD, pad_edge=False)
    found = list(promises([call for call, promised in calls if promised]))
    for promise in found:
        met = "yes" if promise.is_met else "NO"
        kept.add_row(promise.what, f"{promise.value:.1f} {promise.unit}", f"{promise.bound:g}", met)
    console.print(kept)
    return all(promise.is_met for promise in found)


def _compare(console: Console) -> None:
    table = Table(*DETECTOR_COLUMNS, box=box.SIMPLE_HEAD, pad_edge=False)
    for line in compare():
        table.add_row(*map(Text, line))
    console.print(table)


def _write(path: Path, calls: Sequence[tuple[Overlap, bool]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": machine(),
        "load_average": os.getloadavg(),
        "calls": [
            {
                "condition": call.condition.name,
                "barge_in": call.condition.barge_in,
                "promised": promised,
                "quiet_s": round(call.quiet_s, 1),
                "false_holds": call.false_holds,
                "false_cuts": call.false_cuts,
                "asked_s": [round(seconds, 4) for seconds in call.asked_s],
                "trials": [
                    {
                        name: round(value, 4) if isinstance(value, float) else value
                        for name, value in asdict(one).items()
                    }
                    for one in call.trials
                ],
            }
            for call, promised in calls
        ],
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m bench.overlap", description="Speak over answers and see.")
    parser.add_argument("--data", type=Path, help="a folder of WAVs to interrupt with, instead of the labelled set")
    parser.add_argument("--only", default="", metavar="TEXT", help="conditions with this in their name, such as echo")
    parser.add_argument("--out", type=Path, default=_RESULTS / "overlap.json", help="where the results go")
    parser.add_argument("--plots", type=Path, default=_PROJECT / "docs" / "images", help="where the pictures go")
    parser.add_argument("--detectors", action="store_true", help="compare the detectors only, without a server")
    options, flags = parser.parse_known_args(argv)
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    if options.detectors:
        _compare(console)
        return 0
    calls = run_measurement(_run(flags, options.data, options.only, console), console)
    if calls is None:
        return _NO_RESULT
    _write(options.out, calls)
    kept = _show(console, calls)
    _compare(console)
    try:
        draw([call for call, promised in calls if promised], options.plots)
    except ImportError:
        console.print("No pictures: they need matplotlib.")
    return 0 if kept else _MISSED


if __name__ == "__main__":
    sys.exit(main())
