"""Sizes of crowds, each met by the floor and by ours, and the search for the largest that is served well."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bench.capacity.results import HANDLING_MS, limit_of
from bench.capacity.trial import Trial, run_trial
from bench.report import write_json

__all__ = ["CANCELLED", "FLOOR", "OURS", "CapacityPlan", "measure", "split", "write_trials"]

OURS, FLOOR = "omni-duplex", "a bare echo"
CANCELLED = "audio=binary&input_rate=16000&output_rate=24000&echo=cancelled"
"""As a browser calls, whose microphone does not hear the answer."""


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """How much is measured."""

    sizes: tuple[int, ...]
    """Calls at a time."""
    settle_s: float
    """Before the measured time of each size. All calls have begun after a second and are answered after two."""
    seconds: float
    """The measured time."""
    steps: int
    """So often the gap is halved between the largest size that holds and the smallest that does not."""


async def measure(plan: CapacityPlan, tell: Callable[[str], None]) -> list[Trial]:
    """Ours and the floor in turn, size by size, so that whatever else the machine does meets both."""
    trials: list[Trial] = []

    async def run(what: str, sessions: int) -> None:
        tell(f"{sessions} calls, {what}")
        flags = ("--bare",) if what == FLOOR else ()
        trials.append(
            await run_trial(what, sessions, flags=flags, query=CANCELLED, settle_s=plan.settle_s, seconds=plan.seconds)
        )

    for sessions in plan.sizes:
        await run(FLOOR, sessions)
        await run(OURS, sessions)
    for _ in range(plan.steps):
        for what in (FLOOR, OURS):
            held, lost = limit_of([trial for trial in trials if trial.what == what])
            if held is not None and lost is not None and lost - held > 1:
                await run(what, (held + lost) // 2)
    return trials


def split(trials: Sequence[Trial]) -> tuple[list[Trial], list[Trial]]:
    """Those of ours, and those of the floor."""
    ours, floor = ([trial for trial in trials if trial.what == what] for what in (OURS, FLOOR))
    return ours, floor


def write_trials(path: Path, trials: Sequence[Trial], facts: dict[str, object]) -> None:
    """Keep all of them, but not every frame. The file is replaced as a whole or not at all."""
    write_json(
        path,
        {**facts, "handling_bound_ms": HANDLING_MS, "trials": [asdict(replace(trial, ages_ms=())) for trial in trials]},
    )
