"""What the callers of the benchmark say: sound made here, and espeak-ng's voices where they are installed."""

import itertools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr

from bench.speech import RATE_HZ, Samples, Utterance, synthetic_speech

__all__ = ["espeak", "utterances", "voices_used"]

_SYNTHETIC = ((1.3, 110.0), (1.6, 135.0), (1.9, 165.0), (1.5, 210.0))
_PHRASES = (
    ("en-gb", "Wait, that is not what I meant."),
    ("en-us+f3", "Stop, please, I have another question."),
    ("en-us+m3", "Hold on a second, who told you that?"),
    ("cmn", "等一下，我有问题。"),
    ("de+f2", "Moment mal, das stimmt so nicht."),
    ("en-gb+m7", "No, tell me about the weather instead."),
)
_ESPEAK = "espeak-ng"
_ESPEAK_TIMEOUT_S = 20.0


def utterances() -> list[Utterance]:
    """Interruptions of one to three seconds, neighbours unlike each other. Blocks while espeak-ng runs."""
    made = [
        Utterance(f"synthetic {pitch_hz:.0f} Hz", synthetic_speech(seconds, pitch_hz=pitch_hz, seed=seed))
        for seed, (seconds, pitch_hz) in enumerate(_SYNTHETIC)
    ]
    spoken = _espeak() if shutil.which(_ESPEAK) else []
    pairs = itertools.zip_longest(spoken, made)
    return [utterance for pair in pairs for utterance in pair if utterance is not None]


def voices_used(said: list[Utterance]) -> str:
    """One line for the table's reader."""
    made = sum(utterance.name.startswith("synthetic") for utterance in said)
    spoken = len(said) - made
    return f"Voices: {made} made by the benchmark" + (
        f", {spoken} by espeak-ng." if spoken else "; espeak-ng is not installed."
    )


def espeak(voice: str, words: str, *flags: str) -> tuple[Samples, int]:
    """What one of espeak-ng's voices makes of it: mono, -1..1, and its rate in Hz. Blocks while it runs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        command = [_ESPEAK, "-v", voice, *flags, "-w", str(path), words]
        subprocess.run(command, check=True, timeout=_ESPEAK_TIMEOUT_S, capture_output=True)
        samples, rate_hz = soundfile.read(path, dtype="float64")
    return samples, rate_hz


def _espeak() -> list[Utterance]:
    said = ((voice, espeak(voice, phrase)) for voice, phrase in _PHRASES)
    return [
        Utterance(f"espeak {voice}", np.asarray(soxr.resample(samples, rate_hz, RATE_HZ)))
        for voice, (samples, rate_hz) in said
    ]
