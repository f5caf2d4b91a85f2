"""The trials as pictures. Needs matplotlib, which is no dependency of anything else."""

from collections.abc import Sequence
from pathlib import Path

from bench.overlap.sounds import Kind
from bench.overlap.trials import Overlap
from duplex.barge_in import BargeIn

__all__ = ["draw"]

_MS = 1000.0


def draw(calls: Sequence[Overlap], folder: Path) -> list[Path]:
    """Write one picture of times and one of what was cut; returns where. Raises `ImportError` without matplotlib."""
    import matplotlib  # noqa: PLC0415

    matplotlib.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "overlap-times.png", folder / "overlap-cuts.png"]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), sharey=True)
    for axes, name in ((left, "hold"), (right, "cut")):
        for preset in BargeIn:
            values = sorted(_MS * value for value in _times(calls, preset, name))
            if values:
                axes.step(values, [(n + 1) / len(values) for n in range(len(values))], where="post", label=str(preset))
        axes.set(xlabel=f"onset to {name}, ms", xlim=(0, 1600 if name == "cut" else 400))
        axes.grid(alpha=0.3)
    left.set_ylabel("share of interruptions")
    right.legend()
    figure.tight_layout()
    figure.savefig(paths[0], dpi=120)
    figure, axes = pyplot.subplots(figsize=(11, 4))
    kinds = list(Kind)
    for offset, preset in enumerate(BargeIn):
        shares = [_cut_share(calls, preset, kind) for kind in kinds]
        axes.bar([n + 0.27 * offset for n in range(len(kinds))], shares, width=0.25, label=str(preset))
    axes.set_xticks([n + 0.27 for n in range(len(kinds))], [str(kind) for kind in kinds])
    axes.set(ylabel="cut, %")
    axes.legend()
    figure.tight_layout()
    figure.savefig(paths[1], dpi=120)
    pyplot.close("all")
    return paths


def _times(calls: Sequence[Overlap], preset: BargeIn, name: str) -> list[float]:
    trials = [trial for call in calls for trial in call.trials]
    chosen = [trial for trial in trials if trial.barge_in is preset and trial.kind is Kind.INTERRUPTION]
    times = [trial.held_s if name == "hold" else trial.cut_s for trial in chosen]
    return [time for time in times if time is not None]


def _cut_share(calls: Sequence[Overlap], preset: BargeIn, kind: Kind) -> float:
    trials = [trial for call in calls for trial in call.trials if trial.barge_in is preset and trial.kind is kind]
    return 100 * sum(trial.cut_s is not None for trial in trials) / len(trials) if trials else 0.0
