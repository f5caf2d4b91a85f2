"""`python -m bench`: measure, print one table, keep the results, and exit 0 only when every goal is met.

With `QUICK=1` in the environment a form of about two minutes: fewer of everything.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bench.errors import BenchError, run_measurement
from bench.figures import Row
from bench.kept import Kept
from bench.parts import PARTS, Found, Tell
from bench.plan import PROJECT, QUICK, Plan, chosen_plan
from bench.report import machine, show, terminal

__all__ = ["main"]

_MISSED, _NO_RESULT = 1, 2
_DOCUMENT = PROJECT / "docs" / "performance.md"


def _measured(name: str, plan: Plan, console: Console, tell: Tell) -> tuple[Found, dict[str, object]] | None:
    """One part, and when and where it was measured; None when there is no result."""
    load_before, began_s = os.getloadavg(), time.monotonic()
    found = run_measurement(PARTS[name](plan, tell), console)
    if found is None:
        return None
    load = {"before": load_before, "after": os.getloadavg()}
    return found, {"machine": machine(), "load_average": load, "took_s": round(time.monotonic() - began_s, 1)}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure. Returns 0 when every goal is met, 1 when one is missed, 2 when there is no result."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the product against its goals.")
    parser.add_argument("--out", type=Path, help="where the results are kept (default: bench/results/latest.json)")
    parser.add_argument(
        "--only", action="append", choices=PARTS, help="one part, whose old results it replaces; repeatable"
    )
    parser.add_argument(
        "--write", action="store_true", help=f"put the table of all kept parts into docs/{_DOCUMENT.name}"
    )
    options = parser.parse_args(argv)
    plan = chosen_plan()
    quick = plan is QUICK
    if options.out:
        plan = replace(plan, results=options.out)
    console, tell = terminal()
    kept = Kept(plan.results, quick=quick)
    rows: list[Row] = []
    notes: list[str] = []
    for name in options.only or PARTS:
        measured = _measured(name, plan, console, tell)
        if measured is None:
            return _NO_RESULT
        found, facts = measured
        kept.put(name, found, facts)
        rows += found.rows
        notes += found.notes
    if quick:
        notes.append("QUICK: too short and too few for a promise.")
    show(console, rows, notes)
    if options.write:
        try:
            kept.write_into(_DOCUMENT)
        except BenchError as error:
            console.print(f"No table: {error}", markup=False, highlight=False, soft_wrap=True)
            return _NO_RESULT
    return 0 if all(row.is_met for row in rows) else _MISSED


if __name__ == "__main__":
    sys.exit(main())
