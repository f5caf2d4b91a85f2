"""What a frame of the microphone is evidence of, and what judges frames: 20 ms, 16 kHz, 16-bit mono."""

import math
from dataclasses import dataclass
from typing import Protocol

from duplex.audio import FRAME_MS, SAMPLE_BYTES

__all__ = [
    "NO_SOUND",
    "NO_VOICE",
    "SILENT_DBFS",
    "VAD_FRAME_BYTES",
    "VAD_FRAME_SAMPLES",
    "VAD_RATE_HZ",
    "Evidence",
    "FrameClassifier",
    "SpeechDetector",
]

VAD_RATE_HZ = 16_000
VAD_FRAME_SAMPLES = VAD_RATE_HZ * FRAME_MS // 1000
VAD_FRAME_BYTES = VAD_FRAME_SAMPLES * SAMPLE_BYTES

SILENT_DBFS = -100.0
"""What digital silence is called."""
NO_SOUND = bytes(VAD_FRAME_BYTES)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One frame. How loud a voice must be depends on what is asked: who asks decides."""

    above_room_db: float
    """How much louder than the room a frame is that sounds like a voice; minus infinity for any other."""
    pitched: bool = False
    """It repeats itself as vowels do, and coughs, bangs and a room's noise do not."""


NO_VOICE = Evidence(-math.inf)


class FrameClassifier(Protocol):
    """Tells the sound of speech from others. May remember earlier frames."""

    def is_speech(self, frame: bytes) -> bool:
        """Does this frame, `VAD_FRAME_BYTES` long, sound like speech?"""
        ...


class SpeechDetector(Protocol):
    """Knows the room, and the answer's echo in it."""

    def judge(self, frame: bytes, far: bytes = NO_SOUND) -> Evidence:
        """Weigh the next frame, heard while the client plays `far`, a frame as long."""
        ...
