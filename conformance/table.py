"""What a client's script reported, and the table made of it. Pure."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.document import between
from conformance.clients import Client, Language
from conformance.errors import ConformanceError

__all__ = ["END", "START", "STEPS", "Outcome", "locked_version", "outcome", "placed", "table"]

STEPS = ("connect", "answer", "interrupt", "second turn")
"""In the order every client takes them."""

START = "<!-- conformance: written by make conformance -->"
END = "<!-- conformance: end -->"

_REASON_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row. `reason` is None exactly when every step passed."""

    client: Client
    version: str
    passed: tuple[str, ...]
    reason: str | None

    @property
    def green(self) -> bool:
        """Has it passed all steps, and nothing gone wrong on the way?"""
        return self.reason is None


def locked_version(client: Client, lock: str) -> str:
    """The version of the client's own package, by the text of its lock. Raises `ConformanceError` without one."""
    if client.language is Language.PYTHON:
        found = re.search(rf"^{re.escape(client.package)}(?:\[[^\]]*\])?==([^\s;\\]+)", lock, re.MULTILINE)
        version = found[1] if found else None
    else:
        version = json.loads(lock)["packages"].get(f"node_modules/{client.package}", {}).get("version")
    if version is None:
        raise ConformanceError(
            f"The lock of {client.name} does not hold {client.package}: make it again with make lock."
        )
    return str(version)


def outcome(client: Client, version: str, printed: str, ended: str | None) -> Outcome:
    """Judge what a script wrote to standard output. `ended` says how its process failed, None when it did not.

    The report is the last line that is a JSON object with `passed`: libraries may print before it.
    """
    report = _report(printed)
    if report is None:
        return Outcome(client, version, (), ended or "The script ended without a report.")
    passed = tuple(step for step in STEPS if step in report["passed"])
    reason = report.get("error") or ended
    missing = [step for step in STEPS if step not in passed]
    if reason is None and missing:
        reason = f"Not reached: {', '.join(missing)}."
    return Outcome(client, version, passed, None if reason is None else _one_line(str(reason)))


def _report(printed: str) -> dict[str, list[str]] | None:
    for line in reversed(printed.splitlines()):
        try:
            report = json.loads(line)
        except ValueError:
            continue
        if isinstance(report, dict) and isinstance(report.get("passed"), list):
            return report
    return None


def _one_line(reason: str) -> str:
    return " ".join(reason.split())[:_REASON_LENGTH]


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown, one row for each client."""
    lines = [
        f"| client | version | {' | '.join(STEPS)} |",
        "|---|---|" + "---|" * len(STEPS),
    ]
    lines += [
        f"| {row.client.title} | {row.version} | {' | '.join(_mark(step, row) for step in STEPS)} |" for row in outcomes
    ]
    return "\n".join(lines) + "\n"


def _mark(step: str, row: Outcome) -> str:
    return "yes" if step in row.passed else "**no**"


def placed(document: str, drawn: str) -> str:
    """`document` with `drawn` where it keeps the table. Raises `BenchError` when it says nowhere."""
    return between(document, START, END, drawn)
