"""What is heard over an answer, each with its label: words that interrupt, words that do not, and noises.

Speech is espeak-ng's, steady noise is sox's, the rest is made here. All sound is mono at 16 kHz, -1..1, speech at
-20 dBFS in its loudest syllables (see `levelled`). The same call makes the same sound.
"""

import enum
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from bench.errors import BenchError
from bench.speech import RATE_HZ, Samples, Utterance, levelled, speech_span
from bench.voices import espeak

__all__ = [
    "SPEECH_DBFS",
    "Clip",
    "Kind",
    "at_level",
    "babble",
    "clips",
    "clips_of",
    "long_speech",
    "room",
    "steady_noise",
]

SPEECH_DBFS = -25.0
"""Power of the speech of `levelled` sound while somebody speaks; noise is set so many dB below it."""
_SPEECH_PEAK_DBFS = -20.0
_TIMEOUT_S = 20.0
_SHORTEST_INTERRUPTION_S = 1.0
_LONGEST_BACKCHANNEL_S = 0.35

_INTERRUPTIONS = (
    ("en-gb", "Wait, that is not what I meant at all."),
    ("en-us+f3", "Stop, please, I have another question."),
    ("en-us+m3", "Hold on a second, who told you that?"),
    ("en-gb+m7", "No, tell me about the weather instead."),
    ("en-us+f2", "Can you say that again, but shorter?"),
    ("en-gb-scotland+m1", "Actually, I would like to order a pizza."),
    ("en-us+f4", "Sorry, could you repeat the last part?"),
    ("en-gb+f1", "But why would anybody do that?"),
    ("en-us+m4", "Please speak a little slower."),
    ("en-gb+m5", "Excuse me, one more thing before that."),
    ("en-us+m5", "Forget it, play some music."),
    ("en-us+f1", "Hey, listen to me for a moment."),
    ("cmn", "等一下，我还有一个问题。"),
    ("cmn+f2", "不对，我不是这个意思。"),
    ("cmn+m3", "停一停，请再说一遍。"),
    ("cmn+f4", "我想问一下今天的天气怎么样。"),
    ("cmn+m1", "你刚才说的是什么意思？"),
    ("cmn+f1", "先别说了，听我讲。"),
    ("cmn+m7", "我们换一个话题吧。"),
    ("cmn", "请问现在几点了？"),
)
_BACKCHANNELS = (
    ("en-gb", "mhm"),
    ("en-us+f3", "yeah"),
    ("en-us+m3", "uh-huh"),
    ("en-gb+m7", "right"),
    ("en-us+f2", "okay"),
    ("en-us+m1", "mm"),
    ("cmn", "嗯"),
    ("cmn+f2", "对"),
    ("cmn+m3", "好"),
    ("cmn+f4", "哦"),
    ("en-gb+f1", "hmm"),
    ("cmn+f1", "嗯嗯"),
)
_CROWD = ("en-gb", "en-us+f3", "en-us+m3", "en-gb+m7", "en-us+f2", "cmn", "cmn+f2", "cmn+m3")
_STORY = (
    "The harbour lay quiet in the early morning, and nobody was awake but the gulls. A boat came in slowly, "
    "heavy with fish, and two men stood at its bow and said nothing. They had been out all night, and the wind "
    "had turned against them twice. When they tied the ropes at last, the sun was already above the roofs."
)


class Kind(enum.StrEnum):
    """The label."""

    INTERRUPTION = "interruption"
    """At least a second of speech: the answer must be cut."""
    BACKCHANNEL = "backchannel"
    """At most 350 ms of it: the answer must go on, but for a client that asked for `eager`."""
    TRANSIENT = "transient"
    """60 ms of anything."""
    COUGH = "cough"
    CLICKS = "keyboard"
    SLAM = "door slam"


class Clip(Utterance):
    """One thing to hear, as loud as it is."""

    def __init__(self, name: str, kind: Kind, samples: Samples) -> None:
        """Raises `ValueError` when it is silent."""
        self.name, self.kind, self.samples = name, kind, samples
        self.onset, self.end = speech_span(samples)


def clips(kind: Kind) -> list[Clip]:
    """All of one kind. Raises `BenchError` without espeak-ng."""
    return [Clip(name, kind, samples) for name, samples in _MAKERS[kind]()]


def _interruptions() -> Iterator[tuple[str, Samples]]:
    for voice, words in _INTERRUPTIONS:
        sound = _spoken(voice, words)
        onset, end = speech_span(sound)
        if end - onset < _SHORTEST_INTERRUPTION_S * RATE_HZ:
            raise BenchError(f"'{words}' is too short for an interruption.")
        yield f"{voice}: {words}", sound


def _backchannels() -> Iterator[tuple[str, Samples]]:
    for voice, word in _BACKCHANNELS:
        for speed in (160, 220, 300, 400):
            sound = _spoken(voice, word, speed=speed)
            onset, end = speech_span(sound)
            if end - onset <= _LONGEST_BACKCHANNEL_S * RATE_HZ:
                break
        yield f"{voice}: {word}", sound[max(0, onset - 160) : end + 160]


def _transients() -> Iterator[tuple[str, Samples]]:
    word = _spoken("en-gb", "ah")
    onset, _ = speech_span(word)
    middle = onset + 800
    window = np.hanning(round(0.06 * RATE_HZ))
    yield "60 ms of a vowel", levelled(word[middle : middle + len(window)] * window)
    for seed in range(3):
        noise = np.random.default_rng(seed).standard_normal(len(window)) * np.exp(-np.arange(len(window)) / 200)
        yield f"60 ms of noise {seed}", levelled(noise)


def _coughs() -> Iterator[tuple[str, Samples]]:
    for seed in range(6):
        random = np.random.default_rng(100 + seed)
        bursts = [_cough(random) for _ in range(1 + seed % 2)]
        gap = np.zeros(round(random.uniform(0.1, 0.25) * RATE_HZ))
        yield f"cough {seed}", levelled(np.concatenate([part for burst in bursts for part in (burst, gap)]))


def _cough(random: np.random.Generator) -> Samples:
    """An explosion, a hiss that fades, and often a short voiced end."""
    blast = _band(random, 0.05, 400, 5000) * np.hanning(round(0.1 * RATE_HZ))[round(0.03 * RATE_HZ) :][:800]
    hiss = _band(random, random.uniform(0.12, 0.2), 300, 3500)
    hiss *= np.exp(-np.arange(len(hiss)) / (0.08 * RATE_HZ)) * 0.5
    at_s = np.arange(round(0.08 * RATE_HZ)) / RATE_HZ
    voice = sum(np.sin(2 * np.pi * random.uniform(130, 180) * n * at_s) / n for n in range(1, 12))
    return np.concatenate([blast, hiss, 0.1 * voice * np.hanning(len(at_s))])


def _keyboards() -> Iterator[tuple[str, Samples]]:
    for seed in range(4):
        random = np.random.default_rng(200 + seed)
        sound = np.zeros(3 * RATE_HZ)
        at_s = 0.05
        while at_s < 2.9:
            click = _band(random, random.uniform(0.008, 0.025), 1500, 7000)
            click *= np.exp(-np.arange(len(click)) / (0.004 * RATE_HZ)) * random.uniform(0.4, 1.0)
            start = round(at_s * RATE_HZ)
            sound[start : start + len(click)] += click[: len(sound) - start]
            at_s += random.uniform(0.08, 0.3)
        yield f"typing {seed}", at_level(sound, _SPEECH_PEAK_DBFS - 6.0, peak=True)


def _slams() -> Iterator[tuple[str, Samples]]:
    for seed in range(4):
        random = np.random.default_rng(300 + seed)
        at_s = np.arange(round(0.5 * RATE_HZ)) / RATE_HZ
        body = sum(
            np.sin(2 * np.pi * random.uniform(60, 400) * at_s) * np.exp(-at_s / random.uniform(0.04, 0.12))
            for _ in range(6)
        )
        knock = _band(random, 0.5, 100, 4000) * np.exp(-at_s / 0.02)
        yield f"slam {seed}", levelled(body + 6 * knock)


_MAKERS = {
    Kind.INTERRUPTION: _interruptions,
    Kind.BACKCHANNEL: _backchannels,
    Kind.TRANSIENT: _transients,
    Kind.COUGH: _coughs,
    Kind.CLICKS: _keyboards,
    Kind.SLAM: _slams,
}


@functools.cache
def long_speech(voice: str = "en-us+m3") -> Samples:
    """About fifteen seconds of one voice: an answer, or a neighbour."""
    return _spoken(voice, _STORY)


def babble(seconds: float, *, dbfs: float, seed: int = 0) -> Samples:
    """Eight people who talk at once, `dbfs` together."""
    random = np.random.default_rng(seed)
    mix = np.zeros(round(seconds * RATE_HZ))
    for voice in _CROWD:
        story = long_speech(voice)
        start = int(random.integers(len(story)))
        mix += np.resize(np.roll(story, -start), len(mix))
    return at_level(mix, dbfs)


def steady_noise(colour: str, seconds: float, *, dbfs: float) -> Samples:
    """`white`, `pink` or `brown` noise from sox."""
    _need("sox")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noise.wav"
        # -R repeats the same numbers in every run.
        wav = ("-r", str(RATE_HZ), "-b", "16", "-c", "1", str(path))
        command = ["sox", "-R", "-n", *wav, "synth", str(seconds), f"{colour}noise", "vol", "0.5"]
        subprocess.run(command, check=True, timeout=_TIMEOUT_S, capture_output=True)
        samples, _ = soundfile.read(path, dtype="float64")
    return at_level(samples, dbfs)


def clips_of(folder: Path) -> list[Clip]:
    """Every WAV of a folder as an interruption, for sets that cannot ship with this project.

    Raises `BenchError` when there is none.
    """
    found = []
    for path in sorted(folder.rglob("*.wav")):
        samples, rate_hz = soundfile.read(path, dtype="float64", always_2d=True)
        mono = soxr.resample(samples.mean(axis=1), rate_hz, RATE_HZ)
        found.append(Clip(path.stem, Kind.INTERRUPTION, levelled(np.asarray(mono))))
    if not found:
        raise BenchError(f"There is no WAV file in {folder}.")
    return found


def room(seed: int = 0) -> Samples:
    """The impulse response of a small room: the direct sound, and 120 ms of reverberation."""
    count = round(0.12 * RATE_HZ)
    tail = np.random.default_rng(seed).standard_normal(count) * np.exp(-np.arange(count) / (0.03 * RATE_HZ))
    return np.concatenate([[1.0], 0.05 * tail])


def at_level(samples: Samples, dbfs: float, *, peak: bool = False) -> Samples:
    """The same sound at this level: of its power, or of its peak minus 12 dB."""
    now = float(np.abs(samples).max()) / 4 if peak else float(np.sqrt(np.mean(samples**2)))
    return samples * 10 ** (dbfs / 20) / now


def _band(random: np.random.Generator, seconds: float, low_hz: float, high_hz: float) -> Samples:
    count = round(seconds * RATE_HZ)
    spectrum = np.fft.rfft(random.standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1 / RATE_HZ)
    return np.asarray(np.fft.irfft(spectrum * ((frequency >= low_hz) & (frequency <= high_hz)), n=count))


@functools.cache
def _spoken(voice: str, words: str, *, speed: int = 160) -> Samples:
    _need("espeak-ng")
    samples, rate_hz = espeak(voice, words, "-s", str(speed))
    return levelled(np.asarray(soxr.resample(samples, rate_hz, RATE_HZ)))


def _need(program: str) -> None:
    if shutil.which(program) is None:
        raise BenchError(f"The labelled set is made with {program}, which is not installed.")
