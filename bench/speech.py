"""Where speech begins and ends, and whether one sound is contained in another. All sound is mono at 16 kHz, -1..1."""

import numpy as np
import numpy.typing as npt

__all__ = ["RATE_HZ", "Samples", "Utterance", "best_match", "levelled", "room_noise", "speech_span", "synthetic_speech"]

RATE_HZ = 16_000
Samples = npt.NDArray[np.float64]

_FRAME = RATE_HZ // 100
_SPEECH_WITHIN_DB = 30.0
_SPEECH_DBFS = -20.0
_HIGHEST_PEAK = 0.9
_SILENT_DBFS = -100.0
_SYLLABLE_S = 0.22
_GLIDE_HZ = 0.9
# First three formants of some vowels in Hz, as tables of phonetics give them for an adult voice.
_VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (570, 840, 2410), (530, 1840, 2480), (300, 870, 2240))


class Utterance:
    """Something to say, and what is known of it."""

    def __init__(self, name: str, samples: Samples) -> None:
        """`samples` are brought to one level for all utterances. Raises `ValueError` when they are silent."""
        self.name = name
        self.samples = levelled(samples)
        self.onset, self.end = speech_span(self.samples)

    @property
    def speech_s(self) -> float:
        """From onset to end."""
        return (self.end - self.onset) / RATE_HZ


def speech_span(samples: Samples) -> tuple[int, int]:
    """First and last+1 sample of the speech, in steps of 10 ms.

    Speech is where the level of a 10 ms frame is within 30 dB of the 95th percentile of all frames' levels. Raises
    `ValueError` for sound without a single audible frame.
    """
    levels = _levels_dbfs(samples)
    if not len(levels) or levels.max() <= _SILENT_DBFS:
        raise ValueError("there is no speech in silence")
    speech = np.flatnonzero(levels >= np.percentile(levels, 95) - _SPEECH_WITHIN_DB)
    return int(speech[0]) * _FRAME, (int(speech[-1]) + 1) * _FRAME


def levelled(samples: Samples) -> Samples:
    """The same sound with the 95th percentile of its 10 ms levels at -20 dBFS, or a peak of 0.9 if that is less.

    Raises `ValueError` for silence.
    """
    levels = _levels_dbfs(samples)
    if not len(levels) or levels.max() <= _SILENT_DBFS:
        raise ValueError("silence has no level to change")
    gain = 10 ** ((_SPEECH_DBFS - float(np.percentile(levels, 95))) / 20)
    return samples * min(gain, _HIGHEST_PEAK / float(np.abs(samples).max()))


def room_noise(seconds: float, *, snr_db: float, seed: int) -> Samples:
    """Steady noise of a room, falling by 3 dB an octave, so far below the level of speech."""
    count = round(seconds * RATE_HZ)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1 / RATE_HZ)
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(frequency, 50.0)), n=count)
    rms = float(np.sqrt(np.mean(noise**2)))
    return np.asarray(noise * 10 ** ((_SPEECH_DBFS - snr_db) / 20) / rms)


def synthetic_speech(seconds: float, *, pitch_hz: float, seed: int) -> Samples:
    """Syllables of a voiced sound with formants, some of them opened by a hiss. The same seed says the same."""
    random = np.random.default_rng(seed)
    at_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    syllable = (at_s / _SYLLABLE_S).astype(int)
    count = int(syllable[-1]) + 1
    vowels = np.array(_VOWELS, dtype=float)[random.integers(len(_VOWELS), size=count)]
    hisses = random.random(count) < 0.4
    within = at_s / _SYLLABLE_S - syllable
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + 0.1 * np.sin(2 * np.pi * _GLIDE_HZ * at_s))) / RATE_HZ
    voice = np.zeros_like(at_s)
    for harmonic in range(1, int(4000 / pitch_hz)):
        gain = sum(
            weight / (1 + ((harmonic * pitch_hz - vowels[syllable, formant]) / width) ** 2)
            for formant, (weight, width) in enumerate(((1.0, 90.0), (0.5, 120.0), (0.3, 160.0)))
        )
        voice += gain * np.sin(harmonic * phase)
    voice *= 0.4 + 0.6 * np.sin(np.pi * within)
    hiss = np.diff(random.standard_normal(len(at_s) + 1)) * 0.05 * np.abs(voice).max()
    sound = np.where(hisses[syllable] & (within < 0.25), hiss, voice)
    return np.asarray(sound * np.minimum(1.0, np.minimum(at_s, at_s[::-1]) / 0.01))


def best_match(part: Samples, whole: Samples) -> float:
    """How well `part` fits into `whole` at its best place: 1 is the same sound at any loudness, 0 is unrelated.

    The place must hold all of `part`. Raises `ValueError` when it does not fit or is silent.
    """
    energy = float(np.dot(part, part))
    if len(part) > len(whole) or energy == 0.0:
        raise ValueError("the part must be a sound no longer than the whole")
    size = len(whole) + len(part)
    product = np.fft.irfft(np.fft.rfft(whole, size) * np.conj(np.fft.rfft(part, size)), size)
    places = len(whole) - len(part) + 1
    cumulated = np.concatenate(([0.0], np.cumsum(whole**2)))
    local = cumulated[len(part) :] - cumulated[:places]
    # A place much quieter than the part proves nothing and would divide by almost zero.
    return float(np.max(product[:places] / np.sqrt(energy * np.maximum(local, 1e-3 * energy))))


def _levels_dbfs(samples: Samples) -> Samples:
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    power = np.mean(frames**2, axis=1) if len(frames) else np.zeros(0)
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (_SILENT_DBFS / 10))))
