"""Measured values as one line of a table, and whether they keep what was promised."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Goal", "Row", "percentile"]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest measured value that at least `share` (above 0, at most 1) of the values do not exceed.

    Nothing is interpolated: between two values there is no measurement. Raises `ValueError` without values.
    """
    if not values:
        raise ValueError("no values were measured")
    if not 0.0 < share <= 1.0:
        raise ValueError(f"a percentile is asked for with a share above 0 and up to 1, not {share}")
    return sorted(values)[max(0, math.ceil(share * len(values) - 1e-9) - 1)]


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on one percentile of the values: `share` 0.5 is the median and 1.0 the largest one."""

    share: float
    bound: float
    strict: bool = False
    """True when the bound itself is already too much."""

    def is_met(self, values: Sequence[float]) -> bool:
        """Whether the values keep it. No values keep nothing."""
        if not values:
            return False
        value = percentile(values, self.share)
        return value < self.bound if self.strict else value <= self.bound

    def __str__(self) -> str:
        name = "max" if self.share == 1.0 else f"p{self.share * 100:g}"
        return f"{name} {'<' if self.strict else '≤'} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what was measured, in which unit, all values, and the goals they are held to (none: for information).

    `tail` is the share of the percentile shown beside the median.
    """

    what: str
    unit: str
    values: Sequence[float]
    goals: tuple[Goal, ...] = ()
    tail: float = 0.95
    digits: int = 1
    facts: Mapping[str, object] = field(default_factory=dict)
    """What else is worth keeping in the results file."""

    @property
    def is_met(self) -> bool:
        """Whether every goal is met."""
        return all(goal.is_met(self.values) for goal in self.goals)

    def cells(self) -> tuple[str, ...]:
        """The line as it is printed: what, n, p50, p95 or p99, max, goal, met."""
        if not self.values:
            figures: tuple[str, ...] = ("-", "-", "-")
        else:
            figures = tuple(f"{percentile(self.values, share):.{self.digits}f}" for share in (0.5, self.tail, 1.0))
        goal = ", ".join(map(str, self.goals)) or "-"
        met = ("yes" if self.is_met else "NO") if self.goals else "-"
        return (f"{self.what} [{self.unit}]", str(len(self.values)), *figures, goal, met)

    def as_json(self) -> dict[str, object]:
        """The line for the results file, with every value."""
        figures = {}
        if self.values:
            for name, share in (("p50", 0.5), (f"p{self.tail * 100:g}", self.tail), ("max", 1.0)):
                figures[name] = round(percentile(self.values, share), 3)
        return {
            "what": self.what,
            "unit": self.unit,
            "n": len(self.values),
            **figures,
            "goals": [str(goal) for goal in self.goals],
            "met": self.is_met if self.goals else None,
            **self.facts,
            "values": [round(value, 3) for value in self.values],
        }
