"""Ours, the floor and the old way, measured in turn in one run, so that whatever else the machine does meets all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.errors import BenchError
from bench.figures import Beside, Goal

__all__ = ["FLOOR_GOAL", "OLD_GOALS", "Compared", "Heard", "Turn"]

FLOOR_GOAL = Goal(0.5, 1.3, Beside.FLOOR)
OLD_GOALS = {
    "simplex": Goal(0.5, 12.0, Beside.OLD, least=True),
    "duplex": Goal(0.5, 60.0, Beside.OLD, least=True),
}
"""How many times sooner than the old server sound has to leave, by its way of looking for it."""


@dataclass(frozen=True, slots=True)
class Heard:
    """When sound of one WAV first came, in seconds of the monotonic clock."""

    value: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Turn:
    """What a client heard of one turn of the engine's."""

    heard: Sequence[Heard]
    over_s: float | None
    """When it was told that the turn is over; None in a protocol that does not say so."""

    def delays_ms(self, closed_ns: Mapping[int, int]) -> list[float]:
        """From the closing of each WAV to its arrival. Raises `BenchError` when one came twice or was never written."""
        values = [one.value for one in self.heard]
        if len(set(values)) != len(values) or not closed_ns.keys() >= set(values):
            raise BenchError("Sound came twice, or was never written.")
        return [1000 * one.at_s - closed_ns[one.value] / 1e6 for one in self.heard]

    def over_ms(self, over_ns: Mapping[int, int]) -> list[float]:
        """From the closing of the done flag behind the last WAV to the word that it is over; one value or none."""
        return [] if self.over_s is None else [1000 * self.over_s - over_ns[self.heard[-1].value] / 1e6]


@dataclass(frozen=True, slots=True)
class Compared:
    """Turns of each, in the order they were made."""

    ours: list[Turn] = field(default_factory=list)
    floor: list[Turn] = field(default_factory=list)
    old: list[Turn] = field(default_factory=list)
