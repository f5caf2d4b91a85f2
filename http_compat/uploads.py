"""What an upload is before anything decodes it: the bytes behind its base64, and the sound that needs no decoder.

Nothing here calls a library that reads media. Plain PCM, which is what callers send every second, is found by reading a
few numbers of a header; all else goes to a process of its own (`http_compat.decoders`).
"""

import base64
from typing import Literal

from duplex.audio import SAMPLE_BYTES
from duplex.engine.base import ENGINE_INPUT_RATE_HZ
from duplex.errors import InvalidAudio, InvalidEvent
from duplex.wav import IncompleteWav, read_wav

__all__ = [
    "LONGEST_AUDIO_S",
    "LONGEST_SIDE",
    "MOST_PIXELS",
    "Medium",
    "check_length",
    "decode_base64",
    "plain_pcm",
    "refusal",
]

LONGEST_AUDIO_S = 120
"""Callers send a second at a time, and a whole question at most."""

MOST_PIXELS = 32_000_000
"""A photograph of today's telephones, or nearly four screens of 4K. Decoding takes four bytes for each."""

LONGEST_SIDE = 16_384
"""In pixels; a little more than WebP can say."""

Medium = Literal["audio", "image"]


def refusal(what: Medium, message: str) -> InvalidAudio | InvalidEvent:
    """The error for an upload that cannot be used."""
    if what == "audio":
        return InvalidAudio(message, param="audio")
    return InvalidEvent(message, code="invalid_image", param="image")


def decode_base64(text: str, what: Medium) -> bytes:
    """Decode as the earlier server did: characters outside the alphabet are skipped.

    Raises `InvalidAudio` or `InvalidEvent`, by `what` is uploaded, when the padding is wrong, a character is not ASCII,
    or a `data:` URL came.
    """
    if text[:64].lstrip()[:5].lower() == "data:":
        raise refusal(what, f"the {what} is a data: URL; send only the base64 that follows its comma")
    try:
        return base64.b64decode(text)
    except ValueError as error:
        raise refusal(what, f"the {what} is not valid base64: it is cut short or wrongly padded") from error


def plain_pcm(content: bytes) -> bytes | None:
    """The samples of a WAV that already is 16-bit mono at `ENGINE_INPUT_RATE_HZ`, bit for bit; None for all else.

    One cut short is used as far as it goes, and may hold no samples at all. Raises `InvalidAudio` for more than
    `LONGEST_AUDIO_S`.
    """
    try:
        wav = read_wav(content, torn=True)
    except (IncompleteWav, InvalidAudio):
        return None
    if (wav.rate_hz, wav.channels) != (ENGINE_INPUT_RATE_HZ, 1):
        return None
    check_length(len(wav.pcm) // SAMPLE_BYTES, wav.rate_hz)
    return wav.pcm


def check_length(frames: int, rate_hz: int) -> None:
    """Raise `InvalidAudio` for more than `LONGEST_AUDIO_S`."""
    if frames > LONGEST_AUDIO_S * rate_hz:
        raise refusal("audio", f"the audio is longer than {LONGEST_AUDIO_S} s; send it in shorter pieces")
