"""What the parts of the benchmark found, in one file: each part as it was measured last."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.document import between
from bench.errors import BenchError
from bench.parts import PARTS, Found
from bench.report import markdown, write_json

__all__ = ["END", "START", "Kept"]

START = "<!-- bench: written by make bench ARGS=--write -->"
END = "<!-- bench: end -->"


class Kept:
    """The file at `path`. What another form of the benchmark left there, `quick` or full, is not taken over."""

    def __init__(self, path: Path, *, quick: bool) -> None:
        self._path = path
        self._quick = quick
        self._parts: dict[str, dict[str, Any]] = {}
        if path.exists():
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.get("quick") is quick:
                self._parts = content.get("parts", {})

    def put(self, name: str, found: Found, facts: Mapping[str, object]) -> None:
        """Keep one part, at once: a later part may not come to its end. The file is replaced as a whole or not at
        all."""
        met = all(row.is_met for row in found.rows)
        rows = [row.as_json() for row in found.rows]
        self._parts[name] = {**facts, "met": met, "notes": list(found.notes), "rows": rows}
        self._parts = {name: self._parts[name] for name in PARTS if name in self._parts}
        write_json(self._path, {"quick": self._quick, "met": self.is_met, "parts": self._parts})

    @property
    def is_met(self) -> bool:
        """Whether every part was measured, and every goal met."""
        return self._parts.keys() == PARTS.keys() and all(part["met"] for part in self._parts.values())

    def cells(self) -> list[Sequence[str]]:
        """All rows as they are printed. Raises `BenchError` when a part was never measured."""
        missing = [name for name in PARTS if name not in self._parts]
        if missing:
            raise BenchError(f"These parts were not measured: {', '.join(missing)}.")
        return [row["cells"] for part in self._parts.values() for row in part["rows"]]

    def write_into(self, document: Path) -> None:
        """Put the table where the document keeps it. Raises `BenchError` when it says nowhere, or a part is missing."""
        text = document.read_text(encoding="utf-8")
        document.write_text(between(text, START, END, markdown(self.cells())), encoding="utf-8")
