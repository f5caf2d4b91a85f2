"""`python -m bench.capacity`: how many calls one server holds, beside a server that does nothing with them.

With `QUICK=1` in the environment two sizes and two seconds of each.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console

from bench.capacity.results import HANDLING_MS, capacity_rows, limit_of, trials_table
from bench.capacity.trial import Trial, run_trial
from bench.errors import run_measurement
from bench.report import machine, show, write_results

__all__ = ["FULL", "QUICK", "Plan", "main", "measure"]

_PROJECT = Path(__file__).parents[2]
_MISSED = 1
_NO_RESULT = 2
_WIDTH = 132


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    sizes: tuple[int, ...]
    """Sessions at a time."""
    settle_s: float
    seconds: float
    """Of each size."""
    steps: int
    """So often the gap is halved between the largest size that holds and the smallest that does not."""
    results: Path


FULL = Plan((1, 10, 50, 100, 200, 400), 2.0, 5.0, 3, _PROJECT / "bench" / "results" / "capacity.json")
QUICK = Plan((1, 50), 1.0, 2.0, 0, _PROJECT / "build" / "capacity-quick.json")

_OURS, _FLOOR = "omni-duplex", "a bare echo"
_CANCELLED = "audio=binary&input_rate=16000&output_rate=24000&echo=cancelled"
"""As a browser calls, whose microphone does not hear the answer."""


async def measure(plan: Plan, tell: Callable[[str], None]) -> list[Trial]:
    """Ours and the floor in turn, size by size, so that whatever else the machine does meets both."""
    trials: list[Trial] = []

    async def run(what: str, sessions: int) -> None:
        tell(f"{sessions} sessions, {what}")
        flags = ("--bare",) if what == _FLOOR else ()
        trials.append(
            await run_trial(what, sessions, flags=flags, query=_CANCELLED, settle_s=plan.settle_s, seconds=plan.seconds)
        )

    for sessions in plan.sizes:
        await run(_FLOOR, sessions)
        await run(_OURS, sessions)
    for _ in range(plan.steps):
        for what in (_FLOOR, _OURS):
            held, lost = limit_of([trial for trial in trials if trial.what == what])
            if held is not None and lost is not None and lost - held > 1:
                await run(what, (held + lost) // 2)
    return trials


def main(argv: Sequence[str] | None = None) -> int:
    """Measure. Returns 0 when every goal is met, 1 when one is missed, 2 when there is no result."""
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description=__doc__)
    parser.add_argument("--out", type=Path, help="where the results go (default: bench/results/capacity.json)")
    parser.add_argument("--sizes", type=int, nargs="+", help="numbers of sessions, instead of the usual ones")
    options = parser.parse_args(argv)
    plan = QUICK if os.environ.get("QUICK", "0") not in {"", "0"} else FULL
    if options.sizes:
        plan = replace(plan, sizes=tuple(options.sizes), steps=0, results=_PROJECT / "build" / "capacity-part.json")
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)

    def tell(what: str) -> None:
        if console.is_terminal:
            console.print(f"measuring: {what}", style="dim", highlight=False)

    load_before = os.getloadavg()
    trials = run_measurement(measure(plan, tell), console)
    if trials is None:
        return _NO_RESULT
    ours, floor = ([trial for trial in trials if trial.what == what] for what in (_OURS, _FLOOR))
    rows = list(capacity_rows(ours, floor))
    facts = {
        "machine": machine(),
        "quick": plan is QUICK,
        "load_average": {"before": load_before, "after": os.getloadavg()},
        "handling_bound_ms": HANDLING_MS,
        "trials": [asdict(trial) for trial in trials],
    }
    write_results(options.out or plan.results, rows, facts)
    console.print(trials_table(trials))
    show(console, rows, ["QUICK: too short and too few for a promise."] if plan is QUICK else [])
    return 0 if all(row.is_met for row in rows) else _MISSED


if __name__ == "__main__":
    sys.exit(main())
