"""What the trials of one condition come to, and whether that is what was promised."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.figures import percentile
from bench.overlap.sounds import Kind
from bench.overlap.trials import Overlap, Trial
from duplex.barge_in import BargeIn

__all__ = ["COLUMNS", "Promise", "cells", "promises"]

COLUMNS = (
    "preset",
    "condition",
    "hold p50/p95",
    "cut p50/p95",
    "last byte p95",
    "missed",
    '"mm-hm" cut',
    "cough, keys, slam cut",
    "60 ms cut",
    "released after",
    "answers after",
    "stale",
    "for nothing/min",
)
_NOISES = (Kind.COUGH, Kind.CLICKS, Kind.SLAM)


@dataclass(frozen=True, slots=True)
class Promise:
    """One number that was promised, and what it is. `bound` is the most it may be."""

    what: str
    value: float
    bound: float
    unit: str

    @property
    def is_met(self) -> bool:
        """Whether it was kept."""
        return self.value <= self.bound


def cells(call: Overlap) -> tuple[str, ...]:
    """The line of one call, in the order of `COLUMNS`; times in ms."""
    said = _of(call.trials, Kind.INTERRUPTION)
    noises = [trial for kind in _NOISES for trial in _of(call.trials, kind)]
    minutes = call.quiet_s / 60
    for_nothing = (f"{n / minutes:.1f}" if minutes else "-" for n in (call.false_holds, call.false_cuts))
    return (
        str(call.condition.barge_in),
        call.condition.name,
        _pair([trial.held_s for trial in said]),
        _pair([trial.cut_s for trial in said]),
        _one([trial.last_byte_s for trial in said], 0.95),
        _share([trial.cut_s is None for trial in said]),
        _share([trial.cut_s is not None for trial in _of(call.trials, Kind.BACKCHANNEL)]),
        _share([trial.cut_s is not None for trial in noises]),
        _share([trial.cut_s is not None for trial in _of(call.trials, Kind.TRANSIENT)]),
        _one(
            [trial.released_s and trial.released_s - trial.clip_s for trial in call.trials if trial.cut_s is None], 0.5
        ),
        _one([trial.answered_s for trial in said], 0.5),
        str(sum(trial.stale_bytes for trial in call.trials)),
        " / ".join(for_nothing),
    )


_CUT_GOALS_MS = {BargeIn.EAGER: (180.0, 250.0), BargeIn.BALANCED: (430.0, 600.0)}


def promises(calls: Sequence[Overlap]) -> Iterator[Promise]:
    """What was promised for speech from clean to 10 dB over steady noise; `calls` are those."""
    trials = [trial for call in calls for trial in call.trials]
    said = _of(trials, Kind.INTERRUPTION)
    held = [1000 * trial.held_s for trial in said if trial.held_s is not None]
    if held:
        yield Promise("onset to hold, p50", percentile(held, 0.5), 70.0, "ms")
        yield Promise("onset to hold, p95", percentile(held, 0.95), 130.0, "ms")
    last = [1000 * trial.last_byte_s for trial in said if trial.last_byte_s is not None]
    if last:
        yield Promise("onset to last byte, p95", percentile(last, 0.95), 150.0, "ms")
    for preset, (p50, p95) in _CUT_GOALS_MS.items():
        cut = [1000 * trial.cut_s for trial in said if trial.barge_in is preset and trial.cut_s is not None]
        if cut:
            yield Promise(f"{preset}: onset to cut, p50", percentile(cut, 0.5), p50, "ms")
            yield Promise(f"{preset}: onset to cut, p95", percentile(cut, 0.95), p95, "ms")
    asked = [seconds for call in calls for seconds in call.asked_s]
    answered = [trial.answered_s for trial in said if trial.answered_s is not None]
    if asked and answered:
        later = 100 * (percentile(answered, 0.5) / percentile(asked, 0.5) - 1)
        yield Promise("answer after a break, later than after a question, p50", later, 20.0, "%")
    yield Promise("stale bytes after the cut", sum(trial.stale_bytes for trial in trials), 0.0, "bytes")
    yield from _shares(trials)


def _shares(trials: Sequence[Trial]) -> Iterator[Promise]:
    said = _of(trials, Kind.INTERRUPTION)
    balanced = [trial for trial in trials if trial.barge_in is BargeIn.BALANCED]
    for what, chosen, fault, bound in (
        ("missed interruptions", said, [trial.cut_s is None for trial in said], 1.0),
        *(
            (f"balanced: {what} cut", chosen, [trial.cut_s is not None for trial in chosen], bound)
            for what, chosen, bound in (
                ("words of agreement", _of(balanced, Kind.BACKCHANNEL), 10.0),
                ("60 ms transients", _of(balanced, Kind.TRANSIENT), 0.0),
                ("coughs", _of(balanced, Kind.COUGH), 2.0),
                ("keyboards", _of(balanced, Kind.CLICKS), 2.0),
                ("slams", _of(balanced, Kind.SLAM), 2.0),
            )
        ),
    ):
        if chosen:
            yield Promise(what, 100 * sum(fault) / len(chosen), bound, f"% of {len(chosen)}")


def _of(trials: Sequence[Trial], kind: Kind) -> list[Trial]:
    return [trial for trial in trials if trial.kind is kind]


def _one(values: Sequence[float | None], share: float) -> str:
    known = [1000 * value for value in values if value is not None]
    return f"{percentile(known, share):.0f}" if known else "-"


def _pair(values: Sequence[float | None]) -> str:
    return f"{_one(values, 0.5)} / {_one(values, 0.95)}"


def _share(faults: Sequence[bool]) -> str:
    return f"{sum(faults)} of {len(faults)}" if faults else "-"
