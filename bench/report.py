"""The rows as a table for people and as JSON for machines."""

import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.figures import COLUMNS, Row

__all__ = ["machine", "markdown", "show", "table", "terminal", "write_json", "write_results"]

_WIDTH = 160
_FIGURES = slice(1, -2)
"""The columns with numbers."""


def table(rows: Sequence[Row]) -> Table:
    """The table as `make bench` prints it."""
    drawn = Table(*COLUMNS, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in drawn.columns[_FIGURES]:
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
    write_json(path, {**facts, "met": all(row.is_met for row in rows), "rows": [row.as_json() for row in rows]})


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write it so that people can read it. The file is replaced as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    draft.replace(path)


def terminal() -> tuple[Console, Callable[[str], None]]:
    """Where tables go, and what tells whoever watches what is being measured; in a pipe nobody does."""
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)

    def tell(what: str) -> None:
        if console.is_terminal:
            console.print(f"measuring: {what}", style="dim", highlight=False)

    return console, tell


def show(console: Console, rows: Sequence[Row], notes: Sequence[str]) -> None:
    """Print the table, what a reader must know of it, and where the limit is of what misses its goal."""
    console.print(table(rows))
    for note in (*notes, *(line for row in rows for line in row.shortfalls())):
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """The cells of rows as a table of a document."""
    heads = [f"| {' | '.join(COLUMNS)} |", "|---|" + "---:|" * (len(COLUMNS) - 3) + "---|---|"]
    cells = (["" if cell == "-" else "**no**" if cell == "NO" else cell.strip() for cell in line] for line in lines)
    return "\n".join([*heads, *(f"| {' | '.join(line)} |" for line in cells)]) + "\n"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
