"""`python -m bench.capacity`: how many calls one server holds, beside a server that does nothing with them.

`make bench` measures the same as one of its parts; this is for those who change the code and look at a size or two.
With `QUICK=1` in the environment two sizes and a second of each.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.capacity.results import capacity_rows, trials_table
from bench.capacity.sizes import measure, split, write_trials
from bench.errors import run_measurement
from bench.plan import PROJECT, chosen_plan
from bench.report import machine, show, terminal

__all__ = ["main"]

_MISSED, _NO_RESULT = 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Measure. Returns 0 when every goal is met, 1 when one is missed, 2 when there is no result."""
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=PROJECT / "build" / "capacity.json", help="where the results go (default: build/)"
    )
    parser.add_argument("--sizes", type=int, nargs="+", help="numbers of calls, instead of the usual ones")
    options = parser.parse_args(argv)
    plan = chosen_plan().capacity
    if options.sizes:
        plan = replace(plan, sizes=tuple(options.sizes), steps=0)
    console, tell = terminal()
    trials = run_measurement(measure(plan, tell), console)
    if trials is None:
        return _NO_RESULT
    write_trials(options.out, trials, {"machine": machine()})
    rows = list(capacity_rows(*split(trials)))
    console.print(trials_table(trials))
    show(console, rows, [])
    return 0 if all(row.is_met for row in rows) else _MISSED


if __name__ == "__main__":
    sys.exit(main())
