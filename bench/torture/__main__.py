"""`python -m bench.torture`: thousands of random calls under random faults; nothing of what is promised may break.

A run is made anew by its seed, one of its sessions by `--only INDEX` besides: then it has the only engine to itself.
With `QUICK=1` in the environment 300 sessions.
"""

import argparse
import os
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console

from bench.errors import run_measurement
from bench.report import machine, write_json
from bench.torture.client import Outcome
from bench.torture.run import Found, Wish, describe, torture

__all__ = ["main"]

_PROJECT = Path(__file__).parents[2]
_SESSIONS = 10_000
_QUICK_SESSIONS = 300
_MINUTES = 10.0
_SOAK_MINUTES = 30.0
_DAY_OF_CALLS = 14_400
"""Fifty calls at a time for 24 hours, at five minutes a call."""
_RSS_GROWTH = 0.05
_BROKEN = 1
_NO_RESULT = 2
_TELL_EVERY_S = 10.0


def main(argv: Sequence[str] | None = None) -> int:
    """Torture. Returns 0 when nothing broke, 1 when something did, 2 when there is no result."""
    options = _parser().parse_args(argv)
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    wish = _wish(options, seed)
    console = Console(width=132, highlight=False)
    console.print(f"seed {seed}: {wish.sessions} sessions on {wish.engines} engines, {wish.at_once} at once")
    last_told_s = time.monotonic()
    count = 0

    def tell(outcome: Outcome) -> None:
        nonlocal last_told_s, count
        count += 1
        for what in outcome.violations:
            plan = describe(seed, outcome, kind=wish.kind)
            console.print(f"VIOLATION --seed {seed} --only {outcome.index} ({plan}): {what}", markup=False)
        if time.monotonic() - last_told_s > _TELL_EVERY_S:
            last_told_s = time.monotonic()
            console.print(f"{count} sessions have ended", style="dim")

    found = run_measurement(torture(wish, tell), console)
    if found is None:
        return _NO_RESULT
    if options.only is None and (growth := found.rss_growth()) is not None and growth > _RSS_GROWTH:
        found.of_the_server.append(f"memory grew by {growth:.1%} from the first to the last tenth")
    _report(found, console)
    if options.out:
        write_json(options.out, {"machine": machine(), "seed": seed, **_facts(wish, found)})
    return _BROKEN if found.violations else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.torture", description=__doc__)
    add = parser.add_argument
    add("--seed", type=int, help="of everything that is random (a new one, which is printed)")
    add("--sessions", type=int, help=f"at most so many ({_SESSIONS})")
    add("--first", type=int, default=0, metavar="INDEX", help="of the seed's sessions, begin with this one")
    limits = f"({_MINUTES:g}; {_SOAK_MINUTES:g} in a soak)"
    add("--minutes", type=float, help=f"after which no session begins any more {limits}")
    add("--engines", type=int, help="so many (8)")
    add("--at-once", type=int, help="so many sessions at a time (20; 50 in a soak)")
    add("--speed", type=float, default=10.0, help="how much faster than time everything waits (%(default)s)")
    add("--only", type=int, metavar="INDEX", help="this session alone")
    add("--soak", action="store_true", help="as many calls as fifty at a time make in a day, without any fault")
    add("--log", type=Path, help="where the server's log goes")
    add("--out", type=Path, help="where the figures go, as JSON")
    return parser


def _wish(options: argparse.Namespace, seed: int) -> Wish:
    quick = os.environ.get("QUICK", "0") not in {"", "0"}
    usual = _QUICK_SESSIONS if quick else _DAY_OF_CALLS if options.soak else _SESSIONS
    sessions = options.sessions or usual
    wish = Wish(
        seed=seed,
        first=options.first,
        sessions=sessions,
        seconds=60 * (options.minutes or (_SOAK_MINUTES if options.soak else _MINUTES)),
        engines=options.engines or 8,
        at_once=options.at_once or (50 if options.soak else 20),
        clients=2,
        speed=options.speed,
        warm_up=max(20, sessions // 10),
        kind=options.soak,
        log=options.log,
    )
    if options.only is None:
        return wish
    return replace(wish, first=options.only, sessions=1, engines=1, at_once=1, clients=1, warm_up=0)


def _report(found: Found, console: Console) -> None:
    begun, ended = (sum(getattr(one, name) for one in found.outcomes) for name in ("begun", "ended"))
    heard_s = sum(one.heard_s for one in found.outcomes)
    console.print(
        f"{len(found.outcomes)} sessions in {found.seconds:.0f} s: {begun} answers begun, {ended} ended while their "
        f"client listened, {heard_s / 60:.0f} minutes heard"
    )
    ends = ", ".join(f"{how} {count}" for how, count in found.ends().most_common())
    console.print(f"how they ended: {ends}", markup=False)
    growth = found.rss_growth()
    grown = "too short to tell" if growth is None else f"{growth:+.1%} from the first to the last tenth"
    peak = max(found.rss_mb, default=0.0)
    console.print(f"resident memory: {grown}, at most {peak:.0f} MB")
    for what, (before, after) in (("pieces of memory in use", found.blocks), ("file descriptors", found.fds)):
        console.print(f"{what} when all is quiet: {before} before, {after} after")
    for what in found.of_the_server:
        console.print(f"VIOLATION of the server: {what}", markup=False)
    console.print(f"{len(found.violations)} violations")


def _facts(wish: Wish, found: Found) -> dict[str, object]:
    return {
        "wish": {name: value for name, value in asdict(wish).items() if name != "log"},
        "sessions": len(found.outcomes),
        "seconds": round(found.seconds, 1),
        "ends": dict(found.ends()),
        "met": not found.violations,
        "violations": found.violations,
        "rss_mb": [round(value, 1) for value in found.rss_mb],
        "fds": found.fds,
        "blocks": found.blocks,
    }


if __name__ == "__main__":
    sys.exit(main())
