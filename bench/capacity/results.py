"""What the trials come to: the table, and the goals."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table

from bench.capacity.trial import Figures, Trial
from bench.figures import Goal, Row

__all__ = ["HANDLING_MS", "capacity_rows", "limit_of", "trials_table"]

HANDLING_MS = 5.0
_JITTER_MS = 15.0
_SIZE = 100
"""Sessions, for which the goals are."""
_SHARE = 0.5
"""Of the sessions that the bare echo holds on the same core, at the same p99."""

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
    """The lines of the table with goals; those for which a size was not measured are left out."""
    for trial in (trial for trial in ours if trial.sessions == _SIZE):
        for what, figures, bound in (
            ("frame sent → decided, p99", trial.handling, HANDLING_MS),
            ("sound later than its place, p99", trial.jitter, _JITTER_MS),
        ):
            value = [figures["p99"]] if figures else []
            yield Row(f"{_SIZE} sessions: {what}", "ms", value, (Goal(1.0, bound),), digits=2)
    held, floor_held = limit_of(ours)[0], limit_of(floor)[0]
    if held is not None:
        yield Row(f"sessions with p99 ≤ {HANDLING_MS:g} ms on one core", "sessions", [held], digits=0)
    if floor_held is not None:
        yield Row("  of a bare echo in the same run", "sessions", [floor_held], digits=0)
    if held is not None and floor_held is not None:
        # Goals are upper bounds: how many times as many the echo holds.
        goal = (Goal(1.0, 1 / _SHARE),)
        yield Row("  the bare echo's to ours", "ratio", [floor_held / held], goal, digits=2)
