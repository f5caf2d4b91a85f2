"""The rows as a table for people and as JSON for machines."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.figures import Row

__all__ = ["machine", "table", "write_results"]

_COLUMNS = ("what", "n", "p50", "p95/p99", "max", "goal", "met")


def table(rows: Sequence[Row]) -> Table:
    """The table as `make bench` prints it."""
    drawn = Table(*_COLUMNS, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in drawn.columns[1:5]:
        column.justify = "right"
    for row in rows:
        missed = bool(row.goals) and not row.is_met
        # Units stand in brackets, which rich takes for markup.
        drawn.add_row(*map(Text, row.cells()), style="bold red" if missed else None)
    return drawn


def machine() -> dict[str, object]:
    """Where it was measured."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
    }


def write_results(path: Path, rows: Sequence[Row], facts: Mapping[str, object]) -> None:
    """Write everything that was measured. The file is replaced as a whole or not at all."""
    content = {**facts, "met": all(row.is_met for row in rows), "rows": [row.as_json() for row in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    draft.replace(path)


def show(console: Console, rows: Sequence[Row], notes: Sequence[str]) -> None:
    """Print the table and what a reader must know of it."""
    console.print(table(rows))
    for note in notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
