"""argv and environment to options. Flags of llama-server that mean nothing here are read over, as a newer one would."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from duplex.engine.parrot.faults import Faults, UnknownFault

__all__ = ["FAULTS_VARIABLE", "Options", "Speeds"]

FAULTS_VARIABLE = "OMNI_PARROT_FAULTS"

_SPEEDS = ("load", "init", "evaluate", "llm", "tts", "t2w")


@dataclass(frozen=True, slots=True)
class Speeds:
    """How long the pretended work takes. The defaults are several times faster than a GPU, and never zero."""

    load_ms: float = 30.0
    """From the bound socket to a healthy server."""
    init_ms: float = 60.0
    """One omni_init; the real one takes seconds to minutes."""
    evaluate_ms: float = 2.0
    """Evaluating one prefill in the text model's thread."""
    llm_ms: float = 3.0
    """One text token."""
    tts_ms: float = 2.0
    """One audio token (40 ms of sound)."""
    t2w_ms: float = 60.0
    """One vocoder window (1 s of sound)."""
    previous_round_wait_s: float = 5.0
    """How long a new simplex round waits for the last one's audio tokens (omni.cpp 8641)."""

    def hurried(self, factor: float) -> "Speeds":
        """Everything in so much less time."""
        return Speeds(**{name: value / factor for name, value in asdict(self).items()})


@dataclass(frozen=True, slots=True)
class Options:
    """One parrot process."""

    model: Path
    host: str = "127.0.0.1"
    port: int = 8080
    speeds: Speeds = Speeds()
    ctx_size: int = 4096

    @classmethod
    def parse(cls, argv: Sequence[str], environ: Mapping[str, str]) -> "tuple[Options, Faults]":
        """Read the command line. Exits with code 1 and one line on stderr when it cannot be meant."""
        parser = argparse.ArgumentParser(
            prog="python -m duplex.engine.parrot", description=__doc__, allow_abbrev=False, exit_on_error=False
        )
        parser.add_argument("--model", "-m", type=Path, required=True, help="a path that must exist")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8080, help="0 takes any free port")
        parser.add_argument("--ctx-size", "-c", type=int, default=4096, help="tokens; see `Octx.fill_context`")
        parser.add_argument("--n-gpu-layers", "-ngl", "--repeat-penalty", "--temp", dest="ignored")
        parser.add_argument("--fault", action="append", default=[], metavar="NAME[=VALUE]")
        parser.add_argument("--answer-s", type=float, help="answers last this long")
        for name in _SPEEDS:
            parser.add_argument(f"--{name}-ms", type=float)
        try:
            known, _ = parser.parse_known_args(argv)
            faults = Faults.parse([*environ.get(FAULTS_VARIABLE, "").split(), *known.fault])
        except (argparse.ArgumentError, UnknownFault) as error:
            raise SystemExit(f"error: {error}") from None
        if known.answer_s is not None:
            faults.set("answer_s", known.answer_s)
        speeds = _speeds(known).hurried(faults.number("hurry", 1.0) or 1.0)
        return cls(known.model, known.host, known.port, speeds, known.ctx_size), faults


def _speeds(known: argparse.Namespace) -> Speeds:
    given = {f"{name}_ms": getattr(known, f"{name}_ms") for name in _SPEEDS}
    return Speeds(**{name: value for name, value in given.items() if value is not None})
