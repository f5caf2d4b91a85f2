"""`python -m bench.echo`: what the answer's echo does to the default detector, with and without a defence.

Nothing runs in real time: calls are made with numpy and espeak-ng and heard frame by frame. With `QUICK=1` in the
environment less of everything. Prints the tables of docs/interruption.md, keeps `build/bench-echo.json`, and exits 0
only when every goal is met.
"""

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from bench.answers import answers
from bench.echo_call import Call, Defence, Echo, Listener, Moment, call
from bench.figures import Goal, Row, percentile
from bench.report import machine, show, write_results
from bench.rooms import reduction_db
from bench.speech import RATE_HZ, Utterance
from bench.voices import utterances, voices_used
from duplex.vad import GateMoment

__all__ = ["FULL", "QUICK", "Plan", "interruptions", "loss_db", "main", "triggers"]

_MISSED = 1
_WIDTH = 120
_RESULTS = Path(__file__).parent.parent / "build" / "bench-echo.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. Levels are dB beside the user's."""

    delays_ms: tuple[int, ...]
    gains_db: tuple[float, ...]
    answers: int
    """In each call."""
    interruptions: int
    """In each call with any."""
    wander_ms: int = 20
    snr_db: float = 40.0


FULL = Plan(delays_ms=(20, 80, 150, 300), gains_db=(-6.0, -12.0, -20.0), answers=15, interruptions=10)
QUICK = Plan(delays_ms=(80,), gains_db=(-6.0,), answers=3, interruptions=2)

_LEARNING_S = 2.0
"""Of the first answer: what a canceller needs to learn the room."""
_SOONEST_S = 2.5
"""After the beginning of an answer somebody interrupts."""
_STEPS = {"hold": GateMoment.LIKELY, "cut": GateMoment.CONFIRM}
_WORST_GAIN_DB = -6.0


@dataclass(slots=True)
class Counted:
    """What one defence made of the echo at one level, all delays together."""

    minutes: float = 0.0
    false: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_STEPS, 0))
    latency_ms: dict[str, list[float]] = field(default_factory=lambda: {step: [] for step in _STEPS})
    early: int = 0
    """Interruptions during which an echo had already been taken for speech when they began."""
    missed: int = 0
    said: int = 0


def loss_db(sounds: Call) -> float:
    """By how much the canceller makes the echo fainter, after it had time to learn. The room must be silent."""
    listener = Listener(Defence.CANCELLER, sounds.far_end)
    for heard in sounds.heard():
        listener.hear(heard)
    cleaned = np.frombuffer(b"".join(listener.heard), "<i2") / 32767
    first = round((sounds.starts_s[0] + _LEARNING_S) * RATE_HZ)
    return reduction_db(sounds.echo[first : len(cleaned)], cleaned[first:])


def triggers(moments: Iterable[Moment], *, after_s: float) -> dict[str, int]:
    """How often each step was taken after a time."""
    late = [moment.moment for moment in moments if moment.at_s > after_s]
    return {step: late.count(moment) for step, moment in _STEPS.items()}


def interruptions(sounds: Call, said: Sequence[Utterance], defence: Defence, counted: Counted) -> None:
    """Let one answer after the other be interrupted once, and add what was noticed of it."""
    spans = []
    for number, utterance in enumerate(said):
        onset = round((sounds.starts_s[number] + _SOONEST_S) * RATE_HZ)
        sounds.say(utterance.samples, at=onset - utterance.onset)
        spans.append((onset / RATE_HZ, onset / RATE_HZ + utterance.speech_s))
    moments = call(sounds, defence)
    for onset_s, end_s in spans:
        counted.said += 1
        counted.early += _is_open(moments, onset_s)
        noticed = [moment for moment in moments if onset_s < moment.at_s <= end_s]
        if _is_open(moments, onset_s):
            continue
        for step, wanted in _STEPS.items():
            at_s = next((moment.at_s for moment in noticed if moment.moment is wanted), None)
            if at_s is not None:
                counted.latency_ms[step].append(1000 * (at_s - onset_s))
            elif step == "cut":
                counted.missed += 1


def _is_open(moments: Iterable[Moment], at_s: float) -> bool:
    """Had something been taken for an interruption, and not been given up, when it became `at_s`?"""
    before = [moment.moment for moment in moments if moment.at_s <= at_s]
    last = next((moment for moment in reversed(before) if moment is not GateMoment.ONSET), GateMoment.RELEASE)
    return last in _STEPS.values()


def cpu_percent(make: Callable[[], Call]) -> float:
    """Share of a core that the canceller takes, beside a detector that knows nothing of an echo."""
    return _spent_percent(make(), Defence.CANCELLER) - _spent_percent(make(), Defence.NOTHING)


def _spent_percent(sounds: Call, defence: Defence) -> float:
    listener = Listener(defence, sounds.far_end)
    spent_s = 0.0
    for heard in sounds.heard():
        began_s = time.process_time()
        listener.hear(heard)
        spent_s += time.process_time() - began_s
    return 100 * spent_s / sounds.seconds


class _Bench:
    def __init__(self, plan: Plan, console: Console) -> None:
        self._plan = plan
        self._console = console
        self.said = utterances()
        self._answers = answers(plan.answers)
        self.losses_db: dict[tuple[float, int], float] = {}
        self.counted: dict[tuple[float, Defence], Counted] = defaultdict(Counted)
        self.cpu_percent: list[float] = []

    def run(self) -> None:
        for gain_db in self._plan.gains_db:
            for delay_ms in self._plan.delays_ms:
                if self._console.is_terminal:
                    self._console.print(f"measuring: {gain_db:g} dB, {delay_ms} ms", style="dim", highlight=False)
                self.losses_db[gain_db, delay_ms] = loss_db(self._call(gain_db, delay_ms, noisy=False, of=4))
                for defence in Defence:
                    self._measure(gain_db, delay_ms, defence)
            self.cpu_percent.append(
                cpu_percent(lambda: self._call(self._plan.gains_db[0], self._plan.delays_ms[0], of=4))
            )

    def _measure(self, gain_db: float, delay_ms: int, defence: Defence) -> None:
        counted = self.counted[gain_db, defence]
        alone = self._call(gain_db, delay_ms)
        after_s = alone.starts_s[0] + _LEARNING_S
        for step, count in triggers(call(alone, defence), after_s=after_s).items():
            counted.false[step] += count
        counted.minutes += (alone.seconds - after_s) / 60
        # Every delay begins with another voice.
        shift = 3 * self._plan.delays_ms.index(delay_ms) % len(self.said)
        said = [*self.said[shift:], *self.said[:shift]][: self._plan.interruptions]
        interruptions(self._call(gain_db, delay_ms, of=len(said)), said, defence, counted)

    def _call(self, gain_db: float, delay_ms: int, *, noisy: bool = True, of: int | None = None) -> Call:
        echo = Echo(delay_ms, gain_db, self._plan.wander_ms)
        return Call(self._answers[:of], echo, noise_snr_db=self._plan.snr_db if noisy else None, seed=delay_ms)

    def rows(self) -> list[Row]:
        """What is promised, and the rest for the results file."""
        worst = self.counted[_WORST_GAIN_DB, Defence.CANCELLER]
        over = f"{Defence.CANCELLER}, {_WORST_GAIN_DB:g} dB"
        return [
            Row(
                f"false cuts in {worst.minutes:.1f} min, {over}",
                "n",
                [worst.false["cut"]],
                (Goal(1.0, 0.0),),
                digits=0,
            ),
            Row(f"hold over an echo, {over}", "ms", worst.latency_ms["hold"], (Goal(0.95, 250.0),)),
            Row(f"cut over an echo, {over}", "ms", worst.latency_ms["cut"], (Goal(0.95, 800.0),)),
            Row("CPU of the canceller", "% of a core", self.cpu_percent, (Goal(0.5, 1.0),), digits=2),
        ]

    def facts(self) -> dict[str, object]:
        """Everything, for the results file."""
        return {
            "echo_return_loss_db": {
                f"{gain_db:g} dB, {delay_ms} ms": round(loss, 1) for (gain_db, delay_ms), loss in self.losses_db.items()
            },
            "detector": {
                f"{gain_db:g} dB, {defence}": {
                    "minutes": round(found.minutes, 2),
                    "false": found.false,
                    "latency_ms": found.latency_ms,
                    "said": found.said,
                    "early": found.early,
                    "missed": found.missed,
                }
                for (gain_db, defence), found in self.counted.items()
            },
        }

    def losses(self) -> Table:
        """One line for each level, one column for each delay."""
        drawn = Table(
            "echo return loss, dB", *(f"{delay_ms} ms" for delay_ms in self._plan.delays_ms), box=box.SIMPLE_HEAD
        )
        for gain_db in self._plan.gains_db:
            losses = (self.losses_db[gain_db, delay_ms] for delay_ms in self._plan.delays_ms)
            drawn.add_row(f"{gain_db:g} dB", *(f"{loss:.0f}" for loss in losses))
        return drawn

    def detections(self) -> Table:
        """One line for each level and defence."""
        drawn = Table(*_COLUMNS, box=box.SIMPLE_HEAD, pad_edge=False)
        for (gain_db, defence), found in self.counted.items():
            drawn.add_row(
                f"{gain_db:g} dB",
                str(defence),
                *(f"{found.false[step] / found.minutes:.1f}" for step in _STEPS),
                *(_latency(found.latency_ms[step]) for step in _STEPS),
                *(f"{100 * count / found.said:.0f} %" for count in (found.missed, found.early)),
            )
        return drawn


_COLUMNS = ("echo", "defence", "holds/min", "cuts/min", "hold p50/p95", "cut p50/p95", "missed", "too early")


def _latency(values_ms: Sequence[float]) -> str:
    return f"{percentile(values_ms, 0.5):.0f}/{percentile(values_ms, 0.95):.0f}" if values_ms else "-"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure. Returns 0 when every goal is met and 1 when one is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.echo", description="Measure what an answer's echo does.")
    parser.add_argument(
        "--out", type=Path, default=_RESULTS, help="where the results go (default: build/bench-echo.json)"
    )
    options = parser.parse_args(argv)
    plan = QUICK if os.environ.get("QUICK", "0") not in {"", "0"} else FULL
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    bench = _Bench(plan, console)
    bench.run()
    rows = bench.rows()
    write_results(options.out, rows, {"machine": machine(), "quick": plan is QUICK, **bench.facts()})
    console.print(bench.losses())
    console.print(bench.detections())
    show(console, rows, [voices_used(bench.said)])
    return 0 if all(row.is_met for row in rows) else _MISSED


if __name__ == "__main__":
    sys.exit(main())
