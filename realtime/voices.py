"""Voices that clients leave for the conversations they are about to begin, by a name they are given for it."""

import secrets
from collections import OrderedDict

from duplex.audio import SAMPLE_BYTES
from duplex.engine.base import ENGINE_INPUT_RATE_HZ
from duplex.errors import InvalidEvent
from duplex.wav import IncompleteWav, read_wav, write_wav

__all__ = ["MOST_VOICES", "VOICE_PREFIX", "Voices", "check_voice"]

MOST_VOICES = 16
"""Half a minute of 16 kHz takes a megabyte."""

VOICE_PREFIX = "voice_"
"""What the names begin with. Any other `voice` is one of OpenAI's, which this engine does not have."""

_SHORTEST_S, _LONGEST_S = 3, 30


class Voices:
    """The newest `MOST_VOICES`; beyond them the one left first is forgotten."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def keep(self, wav: bytes) -> str:
        """Keep a voice as `check_voice` returns it; its name, which nobody else can guess."""
        name = f"{VOICE_PREFIX}{secrets.token_urlsafe(16)}"
        self._kept[name] = wav
        while len(self._kept) > MOST_VOICES:
            self._kept.popitem(last=False)
        return name

    def find(self, name: str) -> bytes | None:
        """The voice of this name; None when it is not kept, or no longer."""
        return self._kept.get(name)


def check_voice(content: bytes) -> tuple[bytes, float]:
    """A WAV that the engine can imitate, and its length in seconds. What lies beyond 30 s is left out.

    Raises `InvalidEvent` for anything but 16-bit mono PCM at 16 kHz of 3 s or more, `InvalidAudio` for no WAV.
    """
    try:
        sound = read_wav(content)
    except IncompleteWav:
        raise InvalidEvent("The WAV is cut short: send the whole file.", param="body") from None
    if (sound.rate_hz, sound.channels) != (ENGINE_INPUT_RATE_HZ, 1):
        raise InvalidEvent(
            f"The WAV has {sound.channels} channels at {sound.rate_hz} Hz: send one at {ENGINE_INPUT_RATE_HZ} Hz.",
            param="body",
        )
    pcm = sound.pcm[: _LONGEST_S * ENGINE_INPUT_RATE_HZ * SAMPLE_BYTES]
    seconds = len(pcm) / SAMPLE_BYTES / ENGINE_INPUT_RATE_HZ
    if seconds < _SHORTEST_S:
        raise InvalidEvent(f"The WAV lasts {seconds:.1f} s: send {_SHORTEST_S} to {_LONGEST_S} s.", param="body")
    return write_wav(pcm, rate_hz=ENGINE_INPUT_RATE_HZ), seconds
