"""The sound of an answer: an earcon, then the user's own words, cut into audio tokens and groups of text."""

import math
import zlib
from dataclasses import dataclass

import numpy as np

from duplex.engine.parrot.hearing import HEARD_RATE_HZ, Samples, resample

__all__ = [
    "SILENT_TOKEN",
    "TOKEN_SAMPLES",
    "VOICE_RATE_HZ",
    "AudioToken",
    "Group",
    "Pcm",
    "compose",
    "groups",
]

Pcm = Samples

VOICE_RATE_HZ = 24_000
TOKEN_SAMPLES = 960
"""One audio token is 40 ms."""
_CODEBOOK = 6561
_SILENT_ID = 4218
_EARCON_UP_HZ = (659.3, 880.0)
_EARCON_DOWN_HZ = (523.3, 392.0)
_REPEAT_FROM_S = 4.0
_GAP_S = 0.12
_TAIL_S = 0.24


@dataclass(frozen=True, slots=True)
class AudioToken:
    """One code of the audio codebook, and the 40 ms it stands for here."""

    ident: int
    pcm: Pcm


@dataclass(frozen=True, slots=True)
class Group:
    """What the text model hands to TTS at once."""

    text: bytes
    words: int
    tokens: tuple[AudioToken, ...]
    last: bool


SILENT_TOKEN = AudioToken(_SILENT_ID, np.zeros(TOKEN_SAMPLES, dtype=np.float32))


def _silence(seconds: float) -> Pcm:
    return np.zeros(round(seconds * VOICE_RATE_HZ), dtype=np.float32)


def _tones(frequencies_hz: tuple[float, ...]) -> Pcm:
    count = round(0.13 * VOICE_RATE_HZ)
    envelope = np.hanning(count) * 0.18
    time_s = np.arange(count) / VOICE_RATE_HZ
    return np.concatenate([np.sin(2 * np.pi * f * time_s) * envelope for f in frequencies_hz]).astype(np.float32)


def compose(words: Samples, *, answer_s: float | None = None) -> Pcm:
    """The sound of an answer at 24 kHz to `words` at 16 kHz; no words give the falling earcon alone.

    Four seconds or more are said twice, so that an answer to a long utterance is long enough to be interrupted.
    `answer_s` scripts the length instead: the words are repeated, or cut.
    """
    echo = resample(words, HEARD_RATE_HZ, VOICE_RATE_HZ)
    earcon = _tones(_EARCON_UP_HZ if len(echo) else _EARCON_DOWN_HZ)
    once = np.concatenate([_silence(_GAP_S), echo if len(echo) else earcon])
    repeats = 0 if not len(echo) else 2 if len(echo) >= _REPEAT_FROM_S * VOICE_RATE_HZ else 1
    if answer_s is None:
        return np.concatenate([earcon, *[once] * repeats, _silence(_TAIL_S)])
    length = round(answer_s * VOICE_RATE_HZ)
    repeats = max(0, math.ceil((length - len(earcon)) / len(once)))
    return np.concatenate([earcon, *[once] * repeats])[:length]


def _tokens(pcm: Pcm) -> tuple[AudioToken, ...]:
    whole = np.pad(pcm, (0, -len(pcm) % TOKEN_SAMPLES)).astype(np.float32)
    found = []
    for piece in whole.reshape(-1, TOKEN_SAMPLES):
        ident = zlib.crc32(piece.tobytes()) % _CODEBOOK if piece.any() else _SILENT_ID
        found.append(AudioToken(ident, piece))
    return tuple(found)


def _texts(seconds: float, count: int) -> list[str]:
    if not seconds:
        return ["I heard nothing.", *[" Still nothing."] * (count - 1)]
    first = f"I heard {seconds:.1f} s of speech:"
    rest = [f" here is part {number} of {count - 1}," for number in range(1, count)]
    texts = [first, *rest]
    texts[-1] = texts[-1][:-1] + ("." if count > 1 else ": there it was.")
    return texts


def groups(pcm: Pcm, seconds: float, *, tokens_per_group: int, split_character: bool = False) -> list[Group]:
    """Cut an answer into groups of at most `tokens_per_group` audio tokens and ten words.

    `split_character` puts a three-byte character on each border, one byte before and two after it.
    """
    tokens = _tokens(pcm)
    count = max(1, math.ceil(len(tokens) / tokens_per_group))
    texts = [text.encode() for text in _texts(seconds, count)]
    if split_character:
        character = "好".encode()
        for index in range(count - 1):
            texts[index] += character[:1]
            texts[index + 1] = character[1:] + texts[index + 1]
    return [
        Group(
            text=text,
            words=len(text.split()),
            tokens=tokens[index * tokens_per_group : (index + 1) * tokens_per_group],
            last=index == count - 1,
        )
        for index, text in enumerate(texts)
    ]
