"""What the trials come to: the table, and the goals."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table

from bench.capacity.trial import Figures, Trial
from bench.figures import Beside, Goal, Row

__all__ = ["HANDLING_MS", "capacity_rows", "limit_of", "trials_table"]

HANDLING_MS = 5.0
_JITTER_MS = 15.0
_SIZE = 100
"""Calls, for which the goals are."""
_SHARE = 0.5
"""Of the calls that the bare echo holds on the same core, at the same p99."""

_COLUMNS = (
    "sessions",
    "server",
    "handling p50",
    "p99",
    "jitter p50",
    "p99",
    "client late p99",
    "CPU %",
    "a session",
    "KiB a session",
    "MB after",
    "",
)


def limit_of(trials: Sequence[Trial]) -> tuple[int | None, int | None]:
    """The largest size that held, and the smallest beyond it that did not; None where there was none."""
    held = max((trial.sessions for trial in trials if trial.holds(HANDLING_MS)), default=None)
    lost = min((trial.sessions for trial in trials if trial.sessions > (held or 0)), default=None)
    return held, lost


def trials_table(trials: Sequence[Trial]) -> Table:
    """All of them, by size; times in ms."""
    drawn = Table(*_COLUMNS, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in (drawn.columns[0], *drawn.columns[2:-1]):
        column.justify = "right"
    drawn.columns[1].no_wrap = True
    for trial in sorted(trials, key=lambda trial: trial.sessions):
        drawn.add_row(
            str(trial.sessions),
            trial.what,
            *_two(trial.handling),
            *_two(trial.jitter),
            _two(trial.client_late)[1],
            f"{trial.cpu_percent:.0f}",
            f"{trial.cpu_a_session:.2f}",
            f"{trial.rss_a_session_kb:.0f}",
            f"{trial.rss_after_mb:.0f}",
            trial.error or (f"{trial.silent} silent" if trial.silent else ""),
        )
    return drawn


def _two(figures: Figures) -> tuple[str, str]:
    return (f"{figures['p50']:.2f}", f"{figures['p99']:.2f}") if figures else ("-", "-")


def capacity_rows(ours: Sequence[Trial], floor: Sequence[Trial]) -> Iterator[Row]:
    """The lines of the table, size by size, and then how many calls both hold at the same bound."""
    bare = {trial.sessions: trial for trial in floor}
    for trial in sorted(ours, key=lambda trial: trial.sessions):
        yield from _size_rows(trial, bare.get(trial.sessions))
    held, floor_held = limit_of(ours)[0], limit_of(floor)[0]
    if max((trial.sessions for trial in (*ours, *floor)), default=0) < _SIZE or floor_held is None:
        return
    goal = Goal(1.0, _SHARE, Beside.FLOOR, least=True)
    what = f"calls on one core with p99 ≤ {HANDLING_MS:g} ms"
    yield Row(what, "calls", [] if held is None else [held], (goal,), digits=0, floor=[floor_held])


def _size_rows(trial: Trial, bare: Trial | None) -> Iterator[Row]:
    calls = "1 call" if trial.sessions == 1 else f"{trial.sessions} calls"
    has_goal = trial.sessions == _SIZE
    for what, name, bound in (
        ("frame sent → decided, p99", "handling", HANDLING_MS),
        ("sound later than its place, p99", "jitter", _JITTER_MS),
    ):
        mine, theirs = (_p99(getattr(one, name)) if one else [] for one in (trial, bare))
        goals = (Goal(1.0, bound),) if has_goal else ()
        yield Row(f"{calls}: {what}", "ms", mine, goals, digits=2, floor=theirs)
    for what, unit, name in (
        ("CPU", "% of a core a call", "cpu_a_session"),
        ("memory", "KiB a call", "rss_a_session_kb"),
    ):
        mine, theirs = ([getattr(one, name)] if one else [] for one in (trial, bare))
        yield Row(f"{calls}: {what}", unit, mine, digits=2 if name == "cpu_a_session" else 0, floor=theirs)


def _p99(figures: Figures) -> list[float]:
    return [figures["p99"]] if figures else []
