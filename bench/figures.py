"""Measured values as one line of a table, and whether they keep what was promised."""

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["COLUMNS", "Beside", "Goal", "Row", "percentile", "ratio"]

COLUMNS = ("what", "n", "p50", "p95/p99", "max", "floor", "old", "× floor", "old ×", "goal", "met")
"""Of the table: the middle ones are medians, and how many times the floor's ours is, the old one's ours."""


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest measured value that at least `share` (above 0, at most 1) of the values do not exceed.

    Nothing is interpolated: between two values there is no measurement. Raises `ValueError` without values.
    """
    if not values:
        raise ValueError("no values were measured")
    if not 0.0 < share <= 1.0:
        raise ValueError(f"a percentile is asked for with a share above 0 and up to 1, not {share}")
    return sorted(values)[max(0, math.ceil(share * len(values) - 1e-9) - 1)]


class Beside(enum.Enum):
    """What a goal holds the values against."""

    NOTHING = enum.auto()
    """The bound is the number itself."""
    FLOOR = enum.auto()
    """How many times the floor's percentile ours is."""
    OLD = enum.auto()
    """How many times ours the old way's percentile is."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on one percentile: `share` 0.5 is the median and 1.0 the largest value."""

    share: float
    bound: float
    beside: Beside = Beside.NOTHING
    strict: bool = False
    """True when the bound itself is already too much."""
    least: bool = False
    """True when the bound is the smallest that will do, not the largest."""

    def is_met(self, values: Sequence[float], *, floor: Sequence[float] = (), old: Sequence[float] = ()) -> bool:
        """Whether the values keep it. No values keep nothing, and neither do values without what they are held
        against."""
        value = self.measured(values, floor, old)
        if value is None:
            return False
        if self.least:
            return value >= self.bound
        return value < self.bound if self.strict else value <= self.bound

    def measured(self, values: Sequence[float], floor: Sequence[float], old: Sequence[float]) -> float | None:
        """What is compared with the bound; None where there is nothing to compare."""
        match self.beside:
            case Beside.FLOOR:
                return ratio(values, floor, self.share)
            case Beside.OLD:
                return ratio(old, values, self.share)
        return percentile(values, self.share) if values else None

    def __str__(self) -> str:
        name = {0.5: "p50", 1.0: "max"}.get(self.share, f"p{self.share * 100:g}")
        sign = "≥" if self.least else "<" if self.strict else "≤"
        match self.beside:
            case Beside.FLOOR:
                return f"{name} {sign} {self.bound:g} × floor"
            case Beside.OLD:
                return f"old {sign} {self.bound:g} ×"
        return f"{name} {sign} {self.bound:g}"


def ratio(above: Sequence[float], below: Sequence[float], share: float) -> float | None:
    """How many times a percentile of `below` that of `above` is; None where that means nothing."""
    if not above or not below or percentile(below, share) <= 0:
        return None
    return percentile(above, share) / percentile(below, share)


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what was measured, in which unit, all values, and the goals they are held to (none: for information).

    `tail` is the share of the percentile shown beside the median. `floor` and `old` were measured in the same run.
    """

    what: str
    unit: str
    values: Sequence[float]
    goals: tuple[Goal, ...] = ()
    tail: float = 0.95
    digits: int = 1
    floor: Sequence[float] = ()
    """The same of a server that does nothing else."""
    old: Sequence[float] = ()
    """The same of the old server's way."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """What else is worth keeping in the results file."""

    @property
    def is_met(self) -> bool:
        """Whether every goal is met."""
        return not self.missed

    @property
    def missed(self) -> tuple[Goal, ...]:
        """The goals that are not."""
        return tuple(goal for goal in self.goals if not goal.is_met(self.values, floor=self.floor, old=self.old))

    def shortfalls(self) -> list[str]:
        """For each goal that is missed, a line that says what was measured instead."""
        return [f"Missed: {self.what.strip()}: {goal}, measured {self._instead(goal)}." for goal in self.missed]

    def _instead(self, goal: Goal) -> str:
        value = goal.measured(self.values, self.floor, self.old)
        return "nothing" if value is None else f"{value:.3g}"

    def cells(self) -> tuple[str, ...]:
        """The line as it is printed, by `COLUMNS`."""
        goal = ", ".join(map(str, self.goals)) or "-"
        met = ("yes" if self.is_met else "NO") if self.goals else "-"
        own = (self._figure(self.values, share) for share in (0.5, self.tail, 1.0))
        return (
            f"{self.what} [{self.unit}]",
            str(len(self.values)),
            *own,
            self._figure(self.floor, 0.5),
            self._figure(self.old, 0.5),
            _times(self.values, self.floor),
            _times(self.old, self.values),
            goal,
            met,
        )

    def _figure(self, values: Sequence[float], share: float) -> str:
        return f"{percentile(values, share):.{self.digits}f}" if values else "-"

    def as_json(self) -> dict[str, object]:
        """The line for the results file, with every value."""
        beside = {name: _rounded(values) for name, values in (("floor", self.floor), ("old", self.old)) if values}
        return {
            "what": self.what,
            "unit": self.unit,
            "n": len(self.values),
            **self._percentiles(),
            "goals": [str(goal) for goal in self.goals],
            "met": self.is_met if self.goals else None,
            "cells": self.cells(),
            **self.facts,
            **beside,
            "values": _rounded(self.values),
        }

    def _percentiles(self) -> dict[str, float]:
        shares = (("p50", 0.5), (f"p{self.tail * 100:g}", self.tail), ("max", 1.0))
        return {name: round(percentile(self.values, share), 3) for name, share in shares} if self.values else {}


def _times(above: Sequence[float], below: Sequence[float]) -> str:
    found = ratio(above, below, 0.5)
    return "-" if found is None else f"{found:.3g}"


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 3) for value in values]
