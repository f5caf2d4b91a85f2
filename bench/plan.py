"""How much is measured."""

import os
from dataclasses import dataclass
from pathlib import Path

from bench.capacity.sizes import CapacityPlan
from duplex.engine.base import Mode

__all__ = ["FULL", "PROJECT", "QUICK", "Plan", "chosen_plan"]

PROJECT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Plan:
    """So many of everything, and where the results go."""

    calls: tuple[tuple[Mode, bool], ...]
    """Calls with barge-ins: the conversation, and whether there is room noise."""
    barge_ins: int
    """In each of these calls."""
    calls_at_a_time: int
    cost_windows: int
    idle_window_s: float
    cost_modes: tuple[Mode, ...]
    ws_turns: int
    """In each dialect."""
    http_turns: int
    """In each mode."""
    http_listens: int
    http_breaks: int
    """In each mode."""
    http_pictures: int
    first_audios: int
    """Calls of each of the two clients whose first answers are compared."""
    frames_s: float
    """For which the frames of one call are timed."""
    long_call_h: float
    """Of sound."""
    starts: int
    queue: int
    """Callers who wait."""
    queue_watched_s: float
    capacity: CapacityPlan
    results: Path


FULL = Plan(
    calls=((Mode.DUPLEX, False), (Mode.SIMPLEX, False), (Mode.DUPLEX, True), (Mode.SIMPLEX, True)),
    barge_ins=6,
    calls_at_a_time=1,
    cost_windows=3,
    idle_window_s=6.0,
    cost_modes=(Mode.DUPLEX, Mode.SIMPLEX),
    ws_turns=50,
    http_turns=20,
    http_listens=100,
    http_breaks=10,
    http_pictures=30,
    first_audios=12,
    frames_s=10.0,
    long_call_h=0.5,
    starts=5,
    queue=1000,
    queue_watched_s=10.0,
    capacity=CapacityPlan((1, 10, 50, 100, 200, 400), settle_s=2.0, seconds=4.0, steps=2),
    results=PROJECT / "bench" / "results" / "latest.json",
)
QUICK = Plan(
    calls=((Mode.DUPLEX, True), (Mode.SIMPLEX, False)),
    barge_ins=2,
    calls_at_a_time=2,
    cost_windows=1,
    idle_window_s=4.0,
    cost_modes=(Mode.DUPLEX,),
    ws_turns=6,
    http_turns=2,
    http_listens=5,
    http_breaks=2,
    http_pictures=5,
    first_audios=1,
    frames_s=2.0,
    long_call_h=0.02,
    starts=1,
    queue=50,
    queue_watched_s=2.0,
    capacity=CapacityPlan((1, 20), settle_s=2.0, seconds=1.0, steps=0),
    results=PROJECT / "build" / "bench-quick.json",
)


def chosen_plan() -> Plan:
    """The short one with `QUICK=1` in the environment."""
    return FULL if os.environ.get("QUICK", "0") in {"", "0"} else QUICK
